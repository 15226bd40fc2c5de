"""Files of weights from elsewhere, read without running what is pickled in them."""
