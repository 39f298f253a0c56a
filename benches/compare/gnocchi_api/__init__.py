"""What requests of Gnocchi's API cost the server: Nephos and the real Gnocchi in one run."""
