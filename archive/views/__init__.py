"""Views: pictures reduced and cut into tiles for a browser, kept below the home, and the IIIF Image API on them."""
