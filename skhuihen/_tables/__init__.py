"""Tables of every accepted kind: frames, Parquet, Ibis, Spark."""
