"""The web server: pages for looking, reviewing and following batches. It parses, calls the rooms below, and renders."""
