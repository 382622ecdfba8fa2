"""What an architecture is: blocks, spaces, costs and networks."""
