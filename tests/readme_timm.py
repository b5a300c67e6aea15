import matplotlib.pyplot as plt
import timm
import torch

from agdt_layers import FrameWise, capture_attention, insert_attention, load_weights

host = timm.create_model("resnet50", num_classes=7)
print(insert_attention(host, ["layer2", "layer3"], example_input=torch.rand(1, 3, 112, 112)))
print(load_weights(host, "host.pth"))
net, clip = FrameWise(host).eval(), torch.rand(2, 8, 3, 112, 112)
with torch.no_grad(), capture_attention(net) as maps:
    print(net(clip).shape)
plt.imsave("map.png", maps["model.layer3.agdt_attention"].spatial[0, 0])
sizes = {"clips": {0: "batch", 1: "frames", 3: "height", 4: "width"}}
torch.onnx.export(net, (clip,), "net.onnx", dynamic_shapes=sizes, dynamo=True)
