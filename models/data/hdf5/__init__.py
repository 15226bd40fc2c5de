"""Episodes in HDF5 files, one file each."""
