"""FCN8s (Long et al. 2015, arXiv:1411.4038) on VGG16, as in the competition's baseline notebook.

Like the notebook it differs from the paper: fc6 and fc7 are 1x1 convolutions, and transposed
convolutions start from random weights.
"""

from torch import Tensor, nn
from torchvision.models import vgg16

FC_CHANNELS = 4096


class FCN8s(nn.Module):
    """VGG16 with class scores at strides 8, 16 and 32."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        features = vgg16(weights=None).features
        self.encoder = nn.ModuleList([features[0:17], features[17:24], features[24:31]])
        self.fc = nn.Sequential(
            nn.Conv2d(512, FC_CHANNELS, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Conv2d(FC_CHANNELS, FC_CHANNELS, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Dropout(),
        )
        self.score_pool3 = nn.Conv2d(256, num_classes, kernel_size=1)
        self.score_pool4 = nn.Conv2d(512, num_classes, kernel_size=1)
        self.score_fc = nn.Conv2d(FC_CHANNELS, num_classes, kernel_size=1)
        self.upscore2 = nn.ConvTranspose2d(num_classes, num_classes, 4, stride=2, padding=1)
        self.upscore2_pool4 = nn.ConvTranspose2d(num_classes, num_classes, 4, stride=2, padding=1)
        self.upscore8 = nn.ConvTranspose2d(num_classes, num_classes, 16, stride=8, padding=4)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (N, C, H, W) of normalised pixels (N, 3, H, W), multiples of 32."""
        pool3: Tensor = self.encoder[0](pixels)  # (N, 256, H/8, W/8)
        pool4: Tensor = self.encoder[1](pool3)  # (N, 512, H/16, W/16)
        pool5: Tensor = self.encoder[2](pool4)  # (N, 512, H/32, W/32)
        score16 = self.upscore2(self.score_fc(self.fc(pool5))) + self.score_pool4(pool4)
        score8 = self.upscore2_pool4(score16) + self.score_pool3(pool3)
        logits: Tensor = self.upscore8(score8)
        return logits
