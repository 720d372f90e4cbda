"""What a run is asked and given: snapshot, identity, conversation, and the objects beside them."""
