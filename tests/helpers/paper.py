"""The sentences of the paper that may be quoted, and the numbers of its parts."""

# In the order of the paper. Every quotation of the paper must be one of these or a part of one.
QUOTATIONS = (
    "modules are inserted into the second and third residual stages of ResNet18",
    "row-wise and column-wise statistical information is first extracted from the channel correlation matrices A, B, "
    "respectively, to generate global and local weight vectors a, b",
    "global convolution is introduced to fuse channel and temporal information",
    "First, a convolution layer is used for local context modelling, and a global average pooling operation is "
    "performed",
    "the forward difference represents the feature change from the current frame to the next frame",
    "thereby avoiding potential interference from padding on the temporal structure",
    "a 1D depthwise separable convolution is applied to the fused differential features",
    "the convolution kernel size is set to 3 and symmetric padding is applied to preserve the temporal dimension",
    "initialised to 0.5",
    "frames were first extracted at fixed intervals using FFmpeg",
    "with 4 parallel threads",
    "the batch size was set to 40",
    "without gated fusion strategy",
    "slightly lower",
)

EQUATIONS = range(1, 26)
FIGURES = {
    1: "the network",
    2: "AGA",
    3: "DTFormer",
    4: "pictures of the data sets",
    5: "confusion matrix on FERV39k",
    6: "confusion matrix on DFEW",
    7: "confusion matrix on DAiSEE",
    8: "attention",
}
TABLES = {1: "DAiSEE's counts", 2: "ablation", 3: "FERV39k", 4: "DFEW", 5: "DAiSEE", 6: "complexity"}
SECTIONS = {
    "1": "introduction",
    "2": "related work",
    "2.1": "related work",
    "2.2": "related work",
    "3": "methodology",
    "3.1": "backbone and sampling",
    "3.2": "AGA",
    "3.2.1": "ACA",
    "3.2.2": "GCA",
    "3.3": "DTFormer, with the frame vectors",
    "4": "experiments",
    "4.1": "data sets",
    "4.2": "preprocessing",
    "4.2.1": "alignment",
    "4.2.2": "augmentation",
    "4.3": "training",
    "4.4": "ablation",
    "4.5": "comparison",
    "4.5.1": "FERV39k",
    "4.5.2": "DFEW",
    "4.5.3": "DAiSEE",
    "4.5.4": "complexity",
    "4.6": "visual analysis",
    "5": "conclusion",
}
