"""The same nested cross validation by MLgym and by scikit-learn, compared by `==`."""
