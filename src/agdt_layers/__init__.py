"""Adaptive global attention and differential temporal transformer layers for PyTorch."""

from agdt_layers.agdtnet import AGDTNet, build_agdtnet
from agdt_layers.attention import AdaptiveGlobalAttention
from agdt_layers.capture import capture_attention
from agdt_layers.cbam import CBAM
from agdt_layers.channel_attention import AdaptiveChannelAttention
from agdt_layers.convolutional_attention import GlobalConvolutionalAttention
from agdt_layers.framewise import FrameWise
from agdt_layers.global_attention import AttentionWeights
from agdt_layers.inference import FoldedModel, fold_batch_norms
from agdt_layers.insertion import insert_attention, remove_attention
from agdt_layers.insertion_plan import InsertionPlan, Placement
from agdt_layers.plugins import MMCVAttention, TimmAttention
from agdt_layers.resnet import ResNet18
from agdt_layers.squeeze_excitation import SqueezeExcitation
from agdt_layers.streaming import AGDTStream
from agdt_layers.temporal import DTFormer
from agdt_layers.temporal_enhancer import DifferentialTemporalEnhancer
from agdt_layers.temporal_mean import TemporalMean
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
    "MMCVAttention",
    "Placement",
    "ResNet18",
    "SqueezeExcitation",
    "TemporalMean",
    "TimmAttention",
    "WeightsReport",
    "build_agdtnet",
    "capture_attention",
    "fold_batch_norms",
    "insert_attention",
    "load_weights",
    "remove_attention",
]
