"""Insert attention into any 2-D CNN: trial runs (trial), the plan (plan), and the change itself (insertion)."""

from agdt_layers.hosts.insertion import insert_attention, remove_attention
from agdt_layers.hosts.plan import InsertionPlan, Placement

__all__ = ["InsertionPlan", "Placement", "insert_attention", "remove_attention"]
