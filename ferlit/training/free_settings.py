"""Settings that may differ between two computations that are compared, by name."""

from ferlit.runs.seen import ALLOW

# Where a fit runs and where its data lie, which are compared by what is in them.
_ANYWHERE = (
    ALLOW,
    "ckpt_path",
    "data.database",
    "data.eval_batch_size",
    "data.landmarks",
    "data.num_workers",
    "data.reader",
    "data.root",
    "data.store",
    "model.compile",
    "trainer.benchmark",
    "trainer.default_root_dir",
    "trainer.detect_anomaly",
    "trainer.deterministic",
    "trainer.enable_autolog_hparams",
    "trainer.enable_checkpointing",
    "trainer.enable_model_summary",
    "trainer.enable_progress_bar",
    "trainer.inference_mode",
    "trainer.log_every_n_steps",
    "trainer.logger",
    "trainer.model_registry",
    "trainer.profiler",
    "weights_only",
)
# Of an evaluation, from those of the training.
FREE_IN_EVALUATION = (
    *_ANYWHERE,
    "checkpoint",
    "seed_everything",
    "trainer.accelerator",
    "trainer.callbacks",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.plugins",
    "trainer.strategy",
    "verbose",
)
# Of a fit that goes on, from those of its checkpoint.
FREE_IN_RESUMING = (
    *_ANYWHERE,
    "trainer.barebones",
    "trainer.fast_dev_run",
    "trainer.limit_predict_batches",
    "trainer.limit_test_batches",
    "trainer.num_sanity_val_steps",
)
# Of the runs of one cross-validation: what each is given on its own, and what changes no result.
FREE_IN_CROSSVAL = (
    ALLOW,
    "ckpt_path",
    "data.fold",
    "data.num_workers",
    "data.root",
    "data.seed",
    "data.store",
    "seed_everything",
    "trainer.accelerator",
    "trainer.default_root_dir",
    "trainer.enable_model_summary",
    "trainer.enable_progress_bar",
    "trainer.logger",
)
# Of a stage that goes on.
FREE_IN_STAGE = ("data.num_workers", "trainer.accelerator", "trainer.devices")
