"""What is known about every registered model: parameters, multiply-adds, and torchvision's state_dict."""

from __future__ import annotations

from typing import NamedTuple


class Fact(NamedTuple):
    parameters: int
    macs: int  # of convolutions and linear layers, per image of the model's input shape, in eval mode
    state: str | None = None  # the start of SHA-256 over torchvision 0.28's "key shape" lines, where it has the model


FACTS = {
    "alexnet": Fact(61_100_840, 714_188_480, "9c198ebdae1863e4"),
    "alexnet_2012": Fact(60_965_224, 724_406_816),
    "alexnet_2012_ungrouped": Fact(62_378_344, 1_135_256_096),
    "classic_cnn": Fact(545_098, 6_128_896),
    "densenet40": Fact(1_019_722, 264_812_928),
    "densenet121": Fact(7_978_856, 2_834_161_664, "aa0fd9923b0003b8"),
    "densenet161": Fact(28_681_000, 7_727_907_072, "82d337d48f910d3a"),
    "densenet169": Fact(14_149_480, 3_359_843_328, "e2d0f02d9c0ce650"),
    "densenet201": Fact(20_013_928, 4_291_365_888, "0d234ad7e9a31b95"),
    "densenet_bc100": Fact(769_162, 287_929_692),
    "efficientnet_b0": Fact(5_288_548, 385_814_752, "a04d0792ee390a49"),
    "efficientnet_b1": Fact(7_794_184, 686_802_832, "9aaba0741e04badf"),
    "efficientnet_b2": Fact(9_109_994, 1_087_529_456, "a6d3677e95ef315b"),
    "efficientnet_b3": Fact(12_233_232, 1_827_141_392, "495111442d67e56d"),
    "efficientnet_b4": Fact(19_341_616, 4_393_771_024, "2974b9d3c0556036"),
    "efficientnet_b5": Fact(30_389_784, 10_266_384_752, "281af15aa41414bf"),
    "efficientnet_b6": Fact(43_040_704, 19_067_593_536, "c32e05b40510b08d"),
    "efficientnet_b7": Fact(66_347_960, 37_745_884_192, "3d2a7737a3d81e53"),
    "googlenet": Fact(13_004_888, 1_498_376_192, "7f541ca29410efb1"),
    "inception_v3": Fact(27_161_264, 5_713_216_096, "aab0ac2cbaf84aa2"),
    "lenet5": Fact(1_256_080, 6_522_000),
    "lenet5_1998": Fact(60_840, 325_680),  # 840 of them the fixed pictures
    "lenet5_sigmoid": Fact(61_706, 416_520),
    "mlp": Fact(266_610, 266_200),
    "mobilenet_v2": Fact(3_504_872, 300_774_272, "37bbbce8932fd0c4"),
    "mobilenet_v3_large": Fact(5_483_032, 216_589_760, "efe98e40831bae95"),
    "mobilenet_v3_small": Fact(2_542_856, 56_510_400, "5f0efaf3ff4ac979"),
    "nin_cifar": Fact(966_986, 222_486_528),
    "nin_imagenet": Fact(7_595_176, 969_460_864),
    "perceptron": Fact(7_850, 7_840),
    "resnet18": Fact(11_689_512, 1_814_073_344, "84fb10d9c6905a1c"),
    "resnet20": Fact(269_722, 40_551_040),
    "resnet32": Fact(464_154, 68_862_592),
    "resnet34": Fact(21_797_672, 3_663_761_408, "28f9096d51307499"),
    "resnet44": Fact(658_586, 97_174_144),
    "resnet50": Fact(25_557_032, 4_089_184_256, "d7e4f8bb0a536344"),
    "resnet50_v1": Fact(25_557_032, 3_857_973_248, "d7e4f8bb0a536344"),
    "resnet56": Fact(853_018, 125_485_696),
    "resnet101": Fact(44_549_160, 7_801_405_440, "02c0f34f4842751f"),
    "resnet101_v1": Fact(44_549_160, 7_570_194_432, "02c0f34f4842751f"),
    "resnet110": Fact(1_727_962, 252_887_680),
    "resnet152": Fact(60_192_808, 11_513_626_624, "685c66205bc823aa"),
    "resnet152_v1": Fact(60_192_808, 11_282_415_616, "685c66205bc823aa"),
    "resnet1202": Fact(19_421_274, 2_829_238_912),
    "resnext50_32x4d": Fact(25_028_904, 4_230_479_872, "e3bad165c034e60f"),
    "resnext101_32x8d": Fact(88_791_336, 16_414_015_488, "da7dd7525807e2ee"),
    "resnext101_64x4d": Fact(83_455_272, 15_460_270_080, "90caac80ae24c51d"),
    "squeezenet1_0": Fact(1_248_424, 818_924_576, "4654d26ad581241f"),
    "squeezenet1_1": Fact(1_235_496, 349_151_936, "1d365589393f9c1e"),
    "vgg11": Fact(132_863_336, 7_609_090_048, "cb3dc23f2a13e182"),
    "vgg11_bn": Fact(132_868_840, 7_609_090_048, "8b6717e727c0ecf9"),
    "vgg11_lrn": Fact(132_863_336, 7_609_090_048),
    "vgg13": Fact(133_047_848, 11_308_466_176, "67c1dc8b57fde74b"),
    "vgg13_bn": Fact(133_053_736, 11_308_466_176, "f6b0597d18a7e4d2"),
    "vgg16": Fact(138_357_544, 15_470_264_320, "35c4623e0cd4a39d"),
    "vgg16_bn": Fact(138_365_992, 15_470_264_320, "347371586a8ea365"),
    "vgg16_c": Fact(133_638_952, 11_770_888_192),
    "vgg19": Fact(143_667_240, 19_632_062_464, "4723255af8f6c485"),
    "vgg19_bn": Fact(143_678_248, 19_632_062_464, "fc3ff6fab2b5cc09"),
    "wide_resnet50_2": Fact(68_883_240, 11_398_021_120, "41203d1d536c02ed"),
    "wide_resnet101_2": Fact(126_886_696, 22_753_050_624, "4f088c0a152b8f5c"),
}
