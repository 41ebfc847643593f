"""Cases for modules; those of SIMPLE take no arguments and one tensor."""

SIMPLE = {"x": "Tanh Sigmoid GELU Identity SiLU Hardswish PReLU Softplus SELU ReLU ELU LeakyReLU Hardtanh"}

CASES = {
    "Module": ["class A(nn.Module):\n def __init__(self):\n  super().__init__(); self.l = nn.Linear(4, 2)\n"
               " def forward(self, a): return self.l(a)\nA()(x), repr(A())"],
    "Linear": ["nn.Linear(4, 5)(x), nn.Linear(in_features=4, out_features=2, bias=False, device='cpu', "
               "dtype=torch.float64)(x.double())"],
    "Sequential": ["nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))(x)"],
    "ReLU": ["nn.ReLU()(x), nn.ReLU(inplace=True)(x.clone())"],
    "Parameter": ["nn.Parameter(x).requires_grad, nn.Parameter(x, requires_grad=False)"],
    "Conv2d": ["nn.Conv2d(4, 6, 3)(im), nn.Conv2d(in_channels=4, out_channels=4, kernel_size=3, stride=2, padding=1, "
               "bias=False, groups=2, device='cpu', dtype=torch.float64, padding_mode='reflect')(im.double())"],
    "Conv1d": ["nn.Conv1d(8, 6, 3)(im[0]), nn.Conv1d(in_channels=8, out_channels=4, kernel_size=3, stride=2, padding=1, "
               "bias=False, groups=2, dilation=2)(im[0])"],
    "Conv3d": ["nn.Conv3d(4, 2, kernel_size=2, stride=2, padding=1, bias=False)(im.reshape(1, 4, 4, 4, 8))"],
    "ConvTranspose2d": ["nn.ConvTranspose2d(4, 3, kernel_size=4, stride=2, padding=1, bias=False)(im)"],
    "Dropout": ["nn.Dropout(p=0.3)(x), nn.Dropout(0.5, inplace=True)(x.clone()), nn.Dropout(0.5).eval()(x)"],
    "Dropout2d": ["nn.Dropout2d(p=0.3, inplace=True)(im.clone())"],
    "Embedding": ["nn.Embedding(5, 3, padding_idx=0)(i)"],
    "ModuleList": ["[l(x) for l in nn.ModuleList([nn.Linear(4, 2), nn.Linear(4, 1)])]"],
    "ModuleDict": ["nn.ModuleDict({'a': nn.Linear(4, 2)})['a'](x)"],
    "ParameterList": ["list(nn.ParameterList([nn.Parameter(x)]))"],
    "ParameterDict": ["sorted(nn.ParameterDict({'a': nn.Parameter(x)}).keys())"],
    "CrossEntropyLoss": ["nn.CrossEntropyLoss()(x, t), nn.CrossEntropyLoss(ignore_index=1)(x, t)"],
    "LayerNorm": ["nn.LayerNorm(4, eps=1e-6)(x), nn.LayerNorm([3, 4], elementwise_affine=False)(x), "
                  "nn.LayerNorm(4, bias=False)(x)"],
    "BatchNorm2d": ["l = nn.BatchNorm2d(num_features=4); l(im), l.running_mean, l.eval()(im)"],
    "BatchNorm1d": ["l = nn.BatchNorm1d(4, momentum=0.3); l(x), l.running_var, l.eval()(x)"],
    "SyncBatchNorm": ["nn.SyncBatchNorm(4).eval()(im)"],
    "InstanceNorm2d": ["nn.InstanceNorm2d(4, affine=True, track_running_stats=True)(im), nn.InstanceNorm2d(4)(im)"],
    "GroupNorm": ["nn.GroupNorm(num_groups=2, num_channels=4, eps=1e-6, affine=False)(im), nn.GroupNorm(4, 4)(im)"],
    "MaxPool2d": ["nn.MaxPool2d(2)(im), nn.MaxPool2d(kernel_size=3, stride=2, padding=1)(im)"],
    "MaxPool3d": ["nn.MaxPool3d(kernel_size=2, stride=2, padding=1)(im)"],
    "AvgPool2d": ["nn.AvgPool2d(2)(im), nn.AvgPool2d(kernel_size=3, stride=2, padding=1, count_include_pad=False)(im)"],
    "AvgPool1d": ["nn.AvgPool1d(3, stride=2, ceil_mode=True)(im[0])"],
    "AdaptiveAvgPool2d": ["nn.AdaptiveAvgPool2d((2, 3))(im), nn.AdaptiveAvgPool2d(1)(im)"],
    "AdaptiveMaxPool2d": ["nn.AdaptiveMaxPool2d(3)(im)"],
    "MSELoss": ["nn.MSELoss(reduction='sum')(x, y), nn.MSELoss(size_average=False)(x, y), nn.MSELoss()(x, y)"],
    "L1Loss": ["nn.L1Loss()(x, y)"],
    "SmoothL1Loss": ["nn.SmoothL1Loss(reduction='sum')(x, y)"],
    "BCELoss": ["nn.BCELoss()(z, b.float())"],
    "BCEWithLogitsLoss": ["nn.BCEWithLogitsLoss(reduction='none')(x, z)"],
    "NLLLoss": ["nn.NLLLoss()(x.log_softmax(1), t)"],
    "KLDivLoss": ["nn.KLDivLoss(reduction='batchmean')(x, z), nn.KLDivLoss(reduction='sum', log_target=True)(x, z)"],
    "LSTM": ["nn.LSTM(4, 3)(sq), nn.LSTM(input_size=4, hidden_size=3, num_layers=2, dropout=0.2, bidirectional=True, "
             "batch_first=True)(sq)"],
    "GRU": ["nn.GRU(4, 3)(sq), nn.GRU(input_size=4, hidden_size=3, num_layers=2, dropout=0.2, bidirectional=True, "
            "batch_first=True)(sq)"],
    "RNN": ["nn.RNN(4, 3)(sq), nn.RNN(input_size=4, hidden_size=3, num_layers=2, dropout=0.1, nonlinearity='relu', "
            "batch_first=True)(sq)"],
    "LSTMCell": ["nn.LSTMCell(4, 3)(x)"],
    "GRUCell": ["nn.GRUCell(4, 3)(x)"],
    "LeakyReLU": ["nn.LeakyReLU(negative_slope=0.2, inplace=True)(x.clone()), nn.LeakyReLU()(x)"],
    "ELU": ["nn.ELU(inplace=True)(x.clone())"],
    "SELU": ["nn.SELU(inplace=True)(x.clone())"],
    "GELU": ["nn.GELU(approximate='tanh')(x), nn.GELU()(x)"],
    "Hardtanh": ["nn.Hardtanh(min_val=-0.5, max_val=0.8)(x)"],
    "Softmax": ["nn.Softmax(dim=1)(x)"],
    "LogSoftmax": ["nn.LogSoftmax(1)(x)"],
    "Upsample": ["nn.Upsample(scale_factor=2, mode='bilinear', align_corners=True)(im), nn.Upsample(scale_factor=2)(im)"],
    "Flatten": ["nn.Flatten()(im), nn.Flatten(0, 1)(im)"],
    "Unflatten": ["nn.Unflatten(1, (2, 2))(x)"],
    "parallel.DistributedDataParallel": [],
    "ZeroPad2d": ["nn.ZeroPad2d(1)(im), nn.ZeroPad2d((1, 0, 2, 1))(im)"],
    "ReflectionPad2d": ["nn.ReflectionPad2d(2)(im)"],
    "ReplicationPad2d": ["nn.ReplicationPad2d((1, 2, 0, 1))(im)"],
    "PixelShuffle": ["nn.PixelShuffle(upscale_factor=2)(im)"],
    "attention.SDPBackend": ["import torch.nn.attention as a; a.SDPBackend.MATH.name"],
    "attention.sdpa_kernel": ["from torch.nn.attention import sdpa_kernel, SDPBackend\n"
                              "with sdpa_kernel(SDPBackend.MATH):\n r = F.scaled_dot_product_attention(im, im, im)\nr"],
    "MultiheadAttention": ["nn.MultiheadAttention(4, 2, dropout=0.0)(sq, sq, sq)"],
    "Transformer": ["nn.Transformer(d_model=4, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=8, "
                    "dropout=0.0)(sq, sq)"],
    "TransformerEncoder": ["nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, 0.0), 2)(sq)"],
    "TransformerEncoderLayer": ["nn.TransformerEncoderLayer(4, 2, 8, 0.0)(sq)"],
    "TransformerDecoder": ["nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 8, 0.0), num_layers=1)(sq, sq)"],
    "Unfold": ["nn.Unfold(kernel_size=3, stride=2, padding=1)(im)"],
    "modules.batchnorm._BatchNorm": ["isinstance(nn.BatchNorm1d(2), nn.modules.batchnorm._BatchNorm)"],
    "modules.instancenorm._InstanceNorm": ["isinstance(nn.InstanceNorm1d(2), nn.modules.instancenorm._InstanceNorm)"],
    "modules.transformer._get_activation_fn": ["nn.modules.transformer._get_activation_fn('relu')(x)"],
    "modules.linear.NonDynamicallyQuantizableLinear": ["nn.modules.linear.NonDynamicallyQuantizableLinear(4, 2)(x)"],
}

# ---- functional

FUNCTIONAL_SIMPLE = {"x": "sigmoid silu tanh relu6 selu leaky_relu elu softplus"}

FUNCTIONAL = {
    "softmax": ["F.softmax(x, dim=1)"],
    "relu": ["F.relu(x), F.relu(x.clone(), inplace=True)"],
    "log_softmax": ["F.log_softmax(x, dim=1)"],
    "cross_entropy": ["F.cross_entropy(x, t, ignore_index=0, reduction='sum'), F.cross_entropy(x, z)"],
    "pad": ["F.pad(x, (1, 2), value=3.0), F.pad(im, pad=(1, 1, 2, 0), mode='reflect'), F.pad(im[0], (1, 1), mode='replicate')"],
    "interpolate": ["F.interpolate(im, scale_factor=2, mode='nearest'), F.interpolate(im, size=(5, 6), mode='bilinear', "
                    "align_corners=True), F.interpolate(im, size=4, mode='bilinear', antialias=True)"],
    "conv2d": ["F.conv2d(im, im[:, :2, :3, :3], bias=v[:2], stride=2, padding=1, dilation=2, groups=2)"],
    "conv1d": ["F.conv1d(im[0], im[0, :, :, :3][:2].reshape(2, 8, 3)[:, :8], padding=1)"],
    "conv3d": ["F.conv3d(im.reshape(1, 4, 4, 4, 8), im[:, :, :2, :4].reshape(2, 4, 2, 2, 2), padding=1)"],
    "max_pool2d": ["F.max_pool2d(im, kernel_size=3, stride=2, padding=1), F.max_pool2d(im, 2)"],
    "max_pool1d": ["F.max_pool1d(im[0], 2)"],
    "avg_pool2d": ["F.avg_pool2d(im, kernel_size=3, stride=2, padding=1, count_include_pad=False)"],
    "adaptive_avg_pool2d": ["F.adaptive_avg_pool2d(im, output_size=(3, 2))"],
    "adaptive_max_pool2d": ["F.adaptive_max_pool2d(im, 3)"],
    "linear": ["F.linear(x, m), F.linear(x, m, bias=v)"],
    "dropout": ["F.dropout(x, p=0.4, training=True), F.dropout(x, 0.4, training=False)"],
    "mse_loss": ["F.mse_loss(x, y, reduction='none'), F.mse_loss(x, y)"],
    "l1_loss": ["F.l1_loss(x, y)"],
    "smooth_l1_loss": ["F.smooth_l1_loss(input=x, target=y, reduction='sum')"],
    "scaled_dot_product_attention": [
        "F.scaled_dot_product_attention(im, im, im, attn_mask=None, dropout_p=0.0, is_causal=True, scale=0.3)"],
    "nll_loss": ["F.nll_loss(x, t, reduction='sum'), F.nll_loss(x, t, size_average=False)"],
    "one_hot": ["F.one_hot(i), F.one_hot(i, num_classes=5)"],
    "layer_norm": ["F.layer_norm(x, (4,), v, v)"],
    "normalize": ["F.normalize(x), F.normalize(x, p=1, dim=0, eps=1e-6)"],
    "gelu": ["F.gelu(x), F.gelu(x, approximate='tanh')"],
    "binary_cross_entropy_with_logits": ["F.binary_cross_entropy_with_logits(x, z), "
                                         "F.binary_cross_entropy_with_logits(x, z, size_average=False)"],
    "binary_cross_entropy": ["F.binary_cross_entropy(z, z, reduction='sum'), F.binary_cross_entropy(z, z, "
                             "size_average=False)"],
    "batch_norm": ["F.batch_norm(im, torch.zeros(4), torch.ones(4), weight=v, training=True, momentum=0.2, eps=1e-4)"],
    "group_norm": ["F.group_norm(im, 2, v, v)"],
    "rms_norm": ["F.rms_norm(x, (4,), v)"],
    "embedding": ["F.embedding(i, m)"],
    "cosine_similarity": ["F.cosine_similarity(x, y), F.cosine_similarity(x, y, dim=0)"],
    "kl_div": ["F.kl_div(x, z, reduction='sum'), F.kl_div(x, z, reduction='batchmean')"],
    "prelu": ["F.prelu(x, torch.tensor([0.3]))"],
}
