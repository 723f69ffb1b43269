"""Synthetic data: rows that a differentially private model of a query's result generates.

The mechanism follows MST (McKenna, Miklau, Sheldon, "Winning the NIST Contest: A scalable and general approach to
differentially private synthetic data", 2021, arXiv:2108.04978): measure the counts of each column with Gaussian noise,
choose a spanning tree of pairs of columns by the exponential mechanism, measure these pairs, and sample from the tree.
Beyond it, the column to predict is paired with all others.

Data sets are neighbors if they differ in the values of one row; the number of rows is public.
"""
