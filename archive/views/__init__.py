"""Views: pictures reduced and cut into tiles for a browser, stored below the home, and their IIIF Image API."""
