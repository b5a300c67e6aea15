"""Attention inserted into any 2-D CNN: what it takes (trial), what will happen (plan), and doing it (insertion)."""

from agdt_layers.hosts.insertion import insert_attention, remove_attention
from agdt_layers.hosts.plan import InsertionPlan, Placement

__all__ = ["InsertionPlan", "Placement", "insert_attention", "remove_attention"]
