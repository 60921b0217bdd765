"""What the maintenance commands do, callable without them."""
