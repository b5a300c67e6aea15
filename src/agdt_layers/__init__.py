"""Adaptive global attention and differential temporal transformer layers for PyTorch."""

from agdt_layers.agdtnet import AGDTNet, build_agdtnet
from agdt_layers.attention import (
    AdaptiveChannelAttention,
    AdaptiveGlobalAttention,
    AttentionWeights,
    GlobalConvolutionalAttention,
)
from agdt_layers.baselines import CBAM, SqueezeExcitation, TemporalMean
from agdt_layers.capture import capture_attention
from agdt_layers.clips import FrameWise
from agdt_layers.hosts import InsertionPlan, Placement, insert_attention, remove_attention
from agdt_layers.inference import FoldedModel, fold_batch_norms
from agdt_layers.resnet import ResNet18
from agdt_layers.streaming import AGDTStream, StreamStep
from agdt_layers.temporal import DifferentialTemporalEnhancer, DTFormer
from agdt_layers.weights import WeightsReport, load_weights

__version__ = "0.1.0"

__all__ = [
    "CBAM",
    "AGDTNet",
    "AGDTStream",
    "AdaptiveChannelAttention",
    "AdaptiveGlobalAttention",
    "AttentionWeights",
    "DTFormer",
    "DifferentialTemporalEnhancer",
    "FoldedModel",
    "FrameWise",
    "GlobalConvolutionalAttention",
    "InsertionPlan",
    "Placement",
    "ResNet18",
    "SqueezeExcitation",
    "StreamStep",
    "TemporalMean",
    "WeightsReport",
    "build_agdtnet",
    "capture_attention",
    "fold_batch_norms",
    "insert_attention",
    "load_weights",
    "remove_attention",
]
