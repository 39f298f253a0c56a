"""What Gnocchi's users see of Nephos, held against Gnocchi: its own functional suites, and the same requests to both."""
