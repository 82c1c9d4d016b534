"""Scripts of others, as they were published; ``fetch.py`` brings them and ``vendored.json`` holds their digests."""
