"""Models by name, and what they consist of."""

from .alexnet import alexnet, alexnet_2012, alexnet_2012_ungrouped
from .classic import classic_cnn
from .densenet import densenet40, densenet121, densenet161, densenet169, densenet201, densenet_bc100
from .efficientnet import (
    compound_scaling,
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
    efficientnet_b6,
    efficientnet_b7,
)
from .googlenet import GoogLeNetOutputs, googlenet
from .inception import InceptionOutputs, inception_v3
from .lenet import lenet5, lenet5_1998, lenet5_sigmoid
from .mlp import mlp, perceptron
from .mobilenetv2 import mobilenet_v2
from .mobilenetv3 import mobilenet_v3_large, mobilenet_v3_small
from .neocognitron import CCells, Neocognitron, SCells, Stage
from .nin import nin_cifar, nin_imagenet
from .receptive_field import ReceptiveField, receptive_field
from .registry import LoadReport, ModelEntry, create_model, list_models, load_matching, model_entry, register_model
from .resnet import (
    resnet18,
    resnet34,
    resnet50,
    resnet50_v1,
    resnet101,
    resnet101_v1,
    resnet152,
    resnet152_v1,
    resnext50_32x4d,
    resnext101_32x8d,
    resnext101_64x4d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from .resnet_cifar import resnet20, resnet32, resnet44, resnet56, resnet110, resnet1202
from .squeezenet import squeezenet1_0, squeezenet1_1
from .summary import LayerSummary, ModelSummary, summarize
from .vgg import vgg11, vgg11_bn, vgg11_lrn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg16_c, vgg19, vgg19_bn

__all__ = [
    "CCells",
    "GoogLeNetOutputs",
    "InceptionOutputs",
    "LayerSummary",
    "LoadReport",
    "ModelEntry",
    "ModelSummary",
    "Neocognitron",
    "ReceptiveField",
    "SCells",
    "Stage",
    "alexnet",
    "alexnet_2012",
    "alexnet_2012_ungrouped",
    "classic_cnn",
    "compound_scaling",
    "create_model",
    "densenet40",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "densenet_bc100",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "googlenet",
    "inception_v3",
    "lenet5",
    "lenet5_1998",
    "lenet5_sigmoid",
    "list_models",
    "load_matching",
    "mlp",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "model_entry",
    "nin_cifar",
    "nin_imagenet",
    "perceptron",
    "receptive_field",
    "register_model",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet34",
    "resnet44",
    "resnet50",
    "resnet50_v1",
    "resnet56",
    "resnet101",
    "resnet101_v1",
    "resnet110",
    "resnet152",
    "resnet152_v1",
    "resnet1202",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "squeezenet1_0",
    "squeezenet1_1",
    "summarize",
    "vgg11",
    "vgg11_bn",
    "vgg11_lrn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg16_c",
    "vgg19",
    "vgg19_bn",
    "wide_resnet50_2",
    "wide_resnet101_2",
]
