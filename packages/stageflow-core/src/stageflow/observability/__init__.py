"""What watches over calls to the outside: protocols, each with one that works beside it."""
