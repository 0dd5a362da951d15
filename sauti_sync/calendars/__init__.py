"""Calendar providers behind one small interface."""
