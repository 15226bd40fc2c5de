"""Keys of a RoboVLMs configuration that say nothing about what a trained policy computes.

Found by reading RoboVLMs (Li et al., 2024, commit 8adc1d2): each key here is either never read, or only read to
train, to load, to log or to find data.
"""

from __future__ import annotations

TOP = frozenset(
    {
        # training and logging
        "arm_gripper_loss_ratio", "batch_size", "cache_root", "cap_loss_ratio", "clip_norm_ratio", "exp_name",
        "finetune", "fwd_loss_ratio", "gpus", "gradient_clip_val", "kl_div_ratio", "learning_rate", "log_dir",
        "log_root", "min_lr_scale", "num_nodes", "num_workers", "output_dir", "output_root", "raw_config_path",
        "resume", "scheduler", "seed", "seq_len", "task_name", "train_weights", "trainer", "use_clip_norm",
        "use_multi_modal_emb", "no_video_pretrained_model", "vl_cotrain_ratio", "warmup_epochs", "warmup_steps",
        "weight_decay",
        # where the parts came from before training
        "model_load_path", "model_load_source", "model_path", "model_url",
        # data
        "discrete_action_history", "mu_val", "val_dataset", "x_mean", "x_std",
        # never read; image_mean and image_std too: CLIP's are written into the code
        "act_encoder", "data_scale", "image_mean", "image_std", "model_config", "optimizer", "use_mim_obs_loss",
        "use_obs_queries", "use_pixel_loss", "use_state", "use_time_causal_attn", "use_tube_mask",
        "vision_masked_ratio", "warmup_ratio",
    }
)  # fmt: skip

# The constructor of every head gets the top level's window_size and fwd_pred_next_n in the place of these.
ACT_HEAD = frozenset({"fwd_pred_next_n", "window_size", "with_history"})

TRAIN_SETUP = frozenset(
    {
        "bits", "freeze_backbone", "freeze_mm_mlp_adapter", "freeze_resampler", "gradient_checkpointing",
        "lora_bias", "lora_dropout", "mm_projector_lr", "mm_use_im_patch_token", "mm_use_im_start_end", "precision",
        "predict_action", "predict_caption", "predict_forward", "predict_forward_hand", "reinit",
        "train_decoder_layers", "train_text_embedding", "train_vision", "tune_mm_mlp_adapter",
    }
)  # fmt: skip

TOKENIZER = frozenset({"max_text_len", "tokenizer_type", "type", "use_local_files"})
VLM = frozenset({"name", "type"})
