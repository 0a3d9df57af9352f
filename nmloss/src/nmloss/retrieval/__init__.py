"""How well embeddings find their like: Recall@k, MAP@R and R-precision.

Musgrave, Belongie and Lim, A Metric Learning Reality Check, ECCV 2020 (arXiv:2003.08505).
"""

from nmloss.retrieval.scores import RetrievalScores, retrieval_scores

__all__ = ["RetrievalScores", "retrieval_scores"]
