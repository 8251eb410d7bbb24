"""The recurrent memory augmented astromorphic transformer (RMAAT, arXiv 2601.00426)."""
