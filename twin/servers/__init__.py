"""What a line shows to the world.

`opcua.py` is the front door. Behind it asyncua's server, corrected: `corrected.py` puts the parts together, and each
part says which clauses it restores (`session`, `processor`, `subscription_service`, `subscription`,
`monitored_item_service`, `monitored_item`, `history`). `tag.py` and `encoding.py` are the fast way of a value,
`limits.py` every bound and counter, docs/upstream.md what is wrong upstream and how it shows.
"""
