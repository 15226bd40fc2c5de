"""Episodes in LeRobot datasets, v2.1 and v3.0: tables in Parquet, pictures in videos or in the tables."""
