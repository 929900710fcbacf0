"""How the parameters of the authors' networks are called there, and here."""

from collections.abc import Sequence

Table = Sequence[tuple[str, str]]
"""Published name -> our name, applied one after the other; `<a>` is then worked out by `_evaluate`."""

SHARED: Table = (
    (r"(\w+)_encoder\.e1_c1\.conv", r"encoders.<\1>.stem.convolution"),
    (r"(\w+)_encoder\.e1_c1", r"encoders.<\1>.stem"),
    (r"(\w+)_encoder\.e(\d)_c1\.conv", r"encoders.<\1>.down.<\2-2>.convolution"),
    (r"(\w+)_encoder\.e(\d)_c([23])\.conv", r"encoders.<\1>.refine.<\2-1>.<\3-2>.convolution"),
    (r"cross_attention_list\.(\d+)\.fn\.norm", r"\1.attention_norm"),
    (r"cross_attention_list\.(\d+)\.fn\.fn\.qkv", r"\1.query_key_value"),
    (r"cross_attention_list\.(\d+)\.fn\.fn\.proj", r"\1.projection"),
    (r"cross_ffn_list\.(\d+)\.fn\.norm", r"\1.feed_forward.0"),
    (r"cross_ffn_list\.(\d+)\.fn\.fn\.net\.(\d)", r"\1.feed_forward.<\2+1>"),
    (r"decoder_sep\.seg_layer", "unimodal_decoder.head"),
    (r"decoder_sep\.d", "unimodal_decoder.d"),
    (r"decoder_fus\w+\.d5_c2\.conv", "bottom.0.convolution"),
    (r"decoder_fus\w+\.d5_out\.conv", "bottom.1.convolution"),
    (r"\.d(\d)_c1\.conv", r".up.<\1-1>.rise.convolution"),
    (r"\.d(\d)_c2\.conv", r".up.<\1-1>.join.convolution"),
    (r"\.d(\d)_out\.conv", r".up.<\1-1>.out.convolution"),
)

MMFORMER: Table = (
    *SHARED,
    (r"(\w+)_encode_conv", r"to_tokens.<\1>"),
    (r"multimodal_transformer", "inter"),
    (r"(\w+)_transformer", r"intra.<\1>"),
    (r"multimodal_decode_conv", "from_tokens"),
    (r"decoder_fuse\.RFM5\.fusion_layer\.0\.conv", "fusion_decoder.fuse_bottleneck.convolution"),
    (r"decoder_fuse\.RFM(\d)\.fusion_layer\.0\.conv", r"fusion_decoder.fuse.<\1-1>.convolution"),
    (r"decoder_fuse\.RFM(\d)\.fusion_layer\.(\d)\.conv", r"fusion_decoder.mix.<\1-1>.<\2-1>.convolution"),
    (r"decoder_fuse\.seg_d(\d)", r"fusion_decoder.heads.\1"),
    (r"decoder_fuse\.seg_layer", "fusion_decoder.heads.0"),
    (r"decoder_fuse\.", "fusion_decoder."),
)

RFNET: Table = (
    *SHARED,
    (r"decoder_fuse\.RFM(\d)\.region_fusion\.fusion_layer\.(\d)\.conv", r"regions.<\1-1>.fuse.\2.convolution"),
    (r"decoder_fuse\.RFM(\d)\.short_cut\.0\.conv", r"regions.<\1-1>.shortcut.fusion.convolution"),
    (r"decoder_fuse\.RFM(\d)\.short_cut\.(\d)\.conv", r"regions.<\1-1>.shortcut.refine.<\2-1>.convolution"),
    (r"decoder_fuse\.prm_generator(\d)\.embedding_layer\.0\.conv", r"embed.<\1-1>.fusion.convolution"),
    (r"decoder_fuse\.prm_generator(\d)\.embedding_layer\.(\d)\.conv", r"embed.<\1-1>.refine.<\2-1>.convolution"),
    (r"decoder_fuse\.prm_generator(\d)\.prm_layer\.0\.conv", r"deep_heads.<\1-1>.0.convolution"),
    (r"decoder_fuse\.prm_generator(\d)\.prm_layer\.1", r"deep_heads.<\1-1>.1"),
    (r"decoder_fuse\.seg_layer", "head"),
    (r"decoder_fuse\.", ""),
)

M2FTRANS: Table = (
    *SHARED,
    (r"Bottleneck\.trans_bottle\.", "blocks."),
    (r"decoder_fusion\.RFM(\d)\.fusion_layer\.0\.conv", r"fuse.<\1-1>.fusion.convolution"),
    (r"decoder_fusion\.RFM(\d)\.fusion_layer\.(\d)\.conv", r"fuse.<\1-1>.refine.<\2-1>.convolution"),
    (r"decoder_fusion\.prm_fusion(\d)\.prm_layer\.0\.conv", r"deep_heads.<\1-1>.0.convolution"),
    (r"decoder_fusion\.prm_fusion(\d)\.prm_layer\.1", r"deep_heads.<\1-1>.1"),
    (r"decoder_fusion\.CT(\d)\.layers\.(\d)", r"cross.<\1-4>.\2"),
    (r"cross_attn\.(key|value)_map_(\w+)", r"attention.\1_maps.<\2>"),
    (r"cross_attn\.query_map", "attention.query_map"),
    (r"cross_attn\.out_project", "attention.project"),
    (r"ffn1", "feed_fused"),
    (r"ffn2", "feed_maps"),
    (r"\.(?:pwconv1|conv1)\.", ".0."),
    (r"\.norm1\.", ".1."),
    (r"\.(?:dwconv|conv2)\.", ".3."),
    (r"\.norm2\.", ".4."),
    (r"\.(?:pwconv2|conv3)\.", ".6."),
    (r"\.norm3\.", ".7."),
    (r"decoder_fusion\.seg_layer", "head"),
    (r"decoder_fusion\.", ""),
)
