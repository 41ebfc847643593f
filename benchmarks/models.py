"""The models that training.py trains, written for either library: MODELS[name](m) gives a module."""


def cnn(m):
    n = m.nn
    return n.Sequential(
        n.Conv2d(3, 32, 3, padding=1), n.ReLU(), n.MaxPool2d(2),
        n.Conv2d(32, 64, 3, padding=1), n.ReLU(), n.MaxPool2d(2),
        n.Flatten(), n.Linear(64 * 8 * 8, 128), n.ReLU(), n.Linear(128, 10),
    )  # fmt: skip


def lenet(m):
    n = m.nn
    return n.Sequential(
        n.Conv2d(1, 6, 5, padding=2), n.Tanh(), n.AvgPool2d(2), n.Conv2d(6, 16, 5), n.Tanh(), n.AvgPool2d(2),
        n.Flatten(), n.Linear(400, 120), n.Tanh(), n.Linear(120, 84), n.Tanh(), n.Linear(84, 10),
    )  # fmt: skip


def head(m, channels):
    return [m.nn.AdaptiveAvgPool2d(1), m.nn.Flatten(), m.nn.Linear(channels, 10)]


def residual(m, *layers):
    class Residual(m.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = m.nn.Sequential(*layers)

        def forward(self, x):
            return (x + self.body(x)).relu()

    return Residual()


def resnet_block(m):
    n = m.nn
    half = lambda: [n.Conv2d(64, 64, 3, padding=1, bias=False), n.BatchNorm2d(64)]
    block = lambda: residual(m, *half(), n.ReLU(), *half())
    return n.Sequential(block(), block(), *head(m, 64))


def mobile_block(m):
    n = m.nn
    return n.Sequential(
        residual(
            m,
            n.Conv2d(32, 128, 1, bias=False), n.BatchNorm2d(128), n.ReLU6(),
            n.Conv2d(128, 128, 3, padding=1, groups=128, bias=False), n.BatchNorm2d(128), n.ReLU6(),
            n.Conv2d(128, 32, 1, bias=False), n.BatchNorm2d(32),
        ),
        *head(m, 32),
    )  # fmt: skip


def unet(m):
    n = m.nn
    double = lambda a, b: n.Sequential(n.Conv2d(a, b, 3, padding=1), n.ReLU(), n.Conv2d(b, b, 3, padding=1), n.ReLU())

    class UNet(n.Module):
        def __init__(self):
            super().__init__()
            self.down, self.middle, self.up = double(3, 16), double(16, 32), double(32, 16)
            self.pool, self.widen = n.MaxPool2d(2), n.ConvTranspose2d(32, 16, 2, stride=2)
            self.out = n.Conv2d(16, 2, 1)

        def forward(self, x):
            skip = self.down(x)
            y = self.widen(self.middle(self.pool(skip)))
            return self.out(self.up(m.cat([skip, y], 1)))

    return UNet()


def recurrent(kind):
    def build(m):
        class Last(m.nn.Module):
            def __init__(self):
                super().__init__()
                self.body = getattr(m.nn, kind)(64, 128, batch_first=True)
                self.out = m.nn.Linear(128, 10)

            def forward(self, x):
                return self.out(self.body(x)[0][:, -1])

        return Last()

    return build


def hand_written_gru(m):
    n = m.nn

    class Cell(n.Module):
        def __init__(self):
            super().__init__()
            self.gates, self.new = n.Linear(64 + 128, 256), n.Linear(64 + 128, 128)
            self.out = n.Linear(128, 10)

        def forward(self, x):
            h = m.zeros(x.shape[0], 128, device=x.device)
            for t in range(x.shape[1]):
                now = x[:, t]
                r, z = m.sigmoid(self.gates(m.cat([now, h], 1))).chunk(2, 1)
                h = (1 - z) * h + z * m.tanh(self.new(m.cat([now, r * h], 1)))
            return self.out(h)

    return Cell()


def attention_block(m, width, heads, causal):
    n, f = m.nn, m.nn.functional

    class Block(n.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = n.LayerNorm(width), n.LayerNorm(width)
            self.qkv, self.out = n.Linear(width, 3 * width), n.Linear(width, width)
            self.mlp = n.Sequential(n.Linear(width, 4 * width), n.GELU(), n.Linear(4 * width, width))

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, heads, c // heads).permute(2, 0, 3, 1, 4)
            y = f.scaled_dot_product_attention(q, k, v, is_causal=causal)
            x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
            return x + self.mlp(self.norm2(x))

    return Block()


def gpt(width, heads, layers, words, length):
    def build(m):
        n = m.nn

        class GPT(n.Module):
            def __init__(self):
                super().__init__()
                self.word, self.place = n.Embedding(words, width), n.Embedding(length, width)
                self.blocks = n.Sequential(*[attention_block(m, width, heads, True) for _ in range(layers)])
                self.norm, self.out = n.LayerNorm(width), n.Linear(width, words, bias=False)

            def forward(self, x):
                y = self.word(x) + self.place(m.arange(x.shape[1], device=x.device))
                return self.out(self.norm(self.blocks(y)))

        return GPT()

    return build


def encoder(m):
    n = m.nn

    class Encoder(n.Module):
        def __init__(self):
            super().__init__()
            layer = n.TransformerEncoderLayer(128, 4, 256, dropout=0.0, batch_first=True)
            self.body, self.out = n.TransformerEncoder(layer, 2), n.Linear(128, 10)

        def forward(self, x):
            return self.out(self.body(x).mean(1))

    return Encoder()


def vit(m):
    n = m.nn

    class ViT(n.Module):
        def __init__(self):
            super().__init__()
            self.patches = n.Conv2d(3, 128, 4, stride=4)
            self.first, self.place = n.Parameter(m.zeros(1, 1, 128)), n.Parameter(m.randn(1, 65, 128) * 0.02)
            self.blocks = n.Sequential(*[attention_block(m, 128, 4, False) for _ in range(4)])
            self.norm, self.out = n.LayerNorm(128), n.Linear(128, 10)

        def forward(self, x):
            y = self.patches(x).flatten(2).transpose(1, 2)
            y = m.cat([self.first.expand(x.shape[0], -1, -1), y], 1) + self.place
            return self.out(self.norm(self.blocks(y))[:, 0])

    return ViT()


def bag_of_words(m):
    n = m.nn
    return n.Sequential(n.EmbeddingBag(5000, 64), n.Linear(64, 64), n.ReLU(), n.Linear(64, 10))


def vae(m):
    n, f = m.nn, m.nn.functional

    class VAE(n.Module):
        def __init__(self):
            super().__init__()
            self.encode = n.Sequential(n.Linear(784, 400), n.ReLU(), n.Linear(400, 40))
            self.decode = n.Sequential(n.Linear(20, 400), n.ReLU(), n.Linear(400, 784))

        def loss(self, x):
            mean, log_var = self.encode(x).chunk(2, 1)
            z = mean + m.exp(0.5 * log_var) * m.randn_like(mean)
            image = f.binary_cross_entropy_with_logits(self.decode(z), x, reduction="sum")
            return image - 0.5 * (1 + log_var - mean**2 - log_var.exp()).sum()

    return VAE()


MODELS = {
    "cnn": cnn, "lenet": lenet, "resnet_block": resnet_block, "mobile_block": mobile_block, "unet": unet,
    "lstm": recurrent("LSTM"), "gru": recurrent("GRU"), "rnn": recurrent("RNN"), "hand_written_gru": hand_written_gru,
    "gpt": gpt(128, 4, 4, 256, 128), "gpt_small": gpt(64, 4, 2, 64, 32), "encoder": encoder, "vit": vit,
    "bag_of_words": bag_of_words, "vae": vae,
}  # fmt: skip
