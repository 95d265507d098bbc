"""Options and helpers of the scenario tests."""


def pytest_addoption(parser):
    parser.addoption(
        "--seeds", type=int, default=2, help="how many consecutive seeds of wan_outage must lose nothing"
    )


def pytest_generate_tests(metafunc):
    if "outage_seed" in metafunc.fixturenames:
        metafunc.parametrize("outage_seed", range(metafunc.config.getoption("--seeds")))
