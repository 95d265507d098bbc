"""`python -m shakedown.bridge`: the bridge alone."""

from shakedown.bridge.cli import main

if __name__ == "__main__":
    main()
