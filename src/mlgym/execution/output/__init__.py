"""What experiments print and log: by lines, on its way, and in files of its own."""
