"""Tables of every kind that is accepted: frames, Parquet, Ibis, Spark."""
