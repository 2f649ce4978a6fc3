"""Language-model training, masked or causal, that can be stopped at any time and resumed to the same bytes.

Reads the token streams; writes into the model's run folder:

    state.safetensors        weights, optimiser state and step of the last resumable moment (not kept)
    checkpoints/step-000000/ config.json, model.safetensors (float16) at each step of `checkpoints`
    model/                   the finished model: config.json, model.safetensors (float16)
    losses.csv               mean training loss of every 50 steps
    run.json                 what was done; written last, so it exists only for a finished run

Everything random in a step (which blocks, which tokens are masked) comes from the seed and the number of the
step, not from an iterator, so a resumed run sees the data that an uninterrupted one would have seen.

The learning rate rises linearly over `warmup_steps`, stays, and falls linearly to zero over the last
`decay_share` of `steps`. Before the fall begins it does not depend on `steps`: to shorten or lengthen a run,
stop it, change `steps` in the params file and start it again while its step is not beyond the start of the
decay of either value. The result is the one that a run with the new value from the start would have given;
a later change is refused. Bits repeat on one kind of processor with the same number of threads.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from transformers import (
    ModernBertConfig,
    ModernBertDecoderConfig,
    ModernBertDecoderForCausalLM,
    ModernBertForMaskedLM,
)

from neurosieve.artifacts import sha256_file
from neurosieve.train.files import whole, write_json
from neurosieve.train.params import ModelParams, TrainError, digest, load_params
from neurosieve.train.tokenizer import CLS_ID, MASK_ID, PAD_ID, SEP_ID, SPECIALS, TOKENS_FILE, load_tokens

#: Of the chosen tokens, the parts replaced by [MASK] and by a random token; the rest stays (BERT's recipe).
AS_MASK, AS_RANDOM = 0.8, 0.1
#: Steps over which a line of losses.csv is the mean, and between two lines of progress.
LOSS_EVERY = 50
PROGRESS_EVERY = 20

#: Two sisters: the same layers, the one looks both ways and the other only back.
LanguageModel = ModernBertForMaskedLM | ModernBertDecoderForCausalLM
ARCHITECTURES: dict[str, tuple[type, type[ModernBertForMaskedLM] | type[ModernBertDecoderForCausalLM]]] = {
    "masked": (ModernBertConfig, ModernBertForMaskedLM),
    "next": (ModernBertDecoderConfig, ModernBertDecoderForCausalLM),
}


def build_model(params: ModelParams, vocabulary: int, max_length: int, seed: int) -> LanguageModel:
    """A freshly initialised model; the same seed gives the same weights."""
    config_class, model_class = ARCHITECTURES[params.objective]
    config = config_class(
        vocab_size=vocabulary,
        hidden_size=params.width,
        intermediate_size=params.intermediate,
        num_hidden_layers=params.layers,
        num_attention_heads=params.heads,
        max_position_embeddings=max_length,
        local_attention=params.local_attention,
        layer_types=[
            "sliding_attention" if layer % params.global_every else "full_attention" for layer in range(params.layers)
        ],
        pad_token_id=PAD_ID,
        cls_token_id=CLS_ID,
        bos_token_id=CLS_ID,
        sep_token_id=SEP_ID,
        eos_token_id=SEP_ID,
    )
    # Measured on CPU with bfloat16: eager 9 to 12 % faster than the fused kernel at this size
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    model: LanguageModel = model_class(config)
    return model


class Blocks:
    """Fixed blocks of a token stream, and which of them a step reads.

    `stream` (tokens,) uint16 is cut into (blocks, block) without padding; the rest at the end is not used. Every
    epoch has a permutation of its own, drawn from the seed and the number of the epoch.
    """

    def __init__(self, stream: np.ndarray, block: int, batch: int, seed: int) -> None:
        count = len(stream) // block
        if count < 1:
            raise TrainError(f"the stream has {len(stream)} tokens, not even one block of {block}")
        self.data = stream[: count * block].reshape(count, block)
        self.batch = batch
        self.seed = seed
        self._order: dict[int, np.ndarray] = {}

    def _permutation(self, epoch: int) -> np.ndarray:
        if epoch not in self._order:
            self._order = {
                known: order for known, order in self._order.items() if known == epoch - 1
            }  # a batch may lie across two epochs
            self._order[epoch] = np.random.Generator(np.random.PCG64([self.seed, 1, epoch])).permutation(len(self.data))
        return self._order[epoch]

    def ids(self, step: int) -> Tensor:
        """Token ids of a step, (batch, block) int64."""
        places = range(step * self.batch, (step + 1) * self.batch)
        count = len(self.data)
        rows = [self._permutation(place // count)[place % count] for place in places]
        return torch.from_numpy(self.data[rows].astype(np.int64))


def mask_tokens(
    ids: Tensor, share: float, vocabulary: int, seed: int, step: int, as_mask: float = AS_MASK
) -> tuple[Tensor, Tensor]:
    """Choose tokens to predict: the input with them replaced, (batch, block), and where they are (bool).

    Special tokens are never chosen, nor put in as random tokens.
    """
    draw = torch.from_numpy(np.random.Generator(np.random.PCG64([seed, 2, step])).random((2, *ids.shape)))
    chosen = (draw[0] < share) & (ids >= len(SPECIALS))
    as_random = AS_RANDOM if as_mask < 1 else 0.0
    inputs = ids.clone()
    inputs[chosen & (draw[1] < as_mask)] = MASK_ID
    replaced = chosen & (draw[1] >= as_mask) & (draw[1] < as_mask + as_random)
    # The position of the second draw within its stretch is itself uniform: it picks the random token
    uniform = (draw[1][replaced] - as_mask) / max(as_random, 1e-9)
    inputs[replaced] = len(SPECIALS) + (uniform * (vocabulary - len(SPECIALS))).long().clamp(
        0, vocabulary - len(SPECIALS) - 1
    )
    return inputs, chosen


def questions(
    params: ModelParams, ids: Tensor, vocabulary: int, seed: int, step: int, as_mask: float = AS_MASK
) -> tuple[Tensor, Tensor, Tensor]:
    """What a model is asked on blocks of ids (batch, block).

    Returns its input (batch, block), the places whose states answer (bool) and the tokens to predict there, in the
    order of those places. No special token is to be predicted, nor the first of a block by a causal model.
    """
    if params.mask_share is not None:
        inputs, chosen = mask_tokens(ids, params.mask_share, vocabulary, seed, step, as_mask)
        return inputs, chosen, ids[chosen]
    places = torch.zeros_like(ids, dtype=torch.bool)
    places[:, :-1] = ids[:, 1:] >= len(SPECIALS)
    return ids, places, ids[:, 1:][places[:, :-1]]


def logits_at(model: LanguageModel, inputs: Tensor, places: Tensor) -> Tensor:
    """Logits at the chosen places only, (places, vocabulary): of a masked model 30 % of the work of all."""
    if isinstance(model, ModernBertForMaskedLM):
        return model.decoder(model.head(model.model(input_ids=inputs).last_hidden_state[places]))
    return model.decoder(model.lm_head(model.model(input_ids=inputs, use_cache=False).last_hidden_state[places]))


def rate(params: ModelParams, step: int) -> float:
    """Learning rate of a step as a part of its stable value."""
    if step < params.optimiser.warmup_steps:
        return (step + 1) / params.optimiser.warmup_steps
    if step >= params.decay_start:
        return (params.steps - step) / max(1, params.steps - params.decay_start)
    return 1.0


def _optimisers(model: LanguageModel, params: ModelParams) -> dict[str, torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for hidden matrices, its update scaled to the size that AdamW's would have."""
    hidden = [p for n, p in model.named_parameters() if p.ndim == 2 and ".embeddings." not in n and "decoder" not in n]
    others = [p for p in model.parameters() if all(p is not other for other in hidden)]
    o = params.optimiser
    return {
        "muon": torch.optim.Muon(hidden, lr=o.muon_lr, weight_decay=o.weight_decay, adjust_lr_fn="match_rms_adamw"),
        "adam": torch.optim.AdamW(others, lr=o.adam_lr, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.0),
    }


def save_weights(model: LanguageModel, folder: Path) -> None:
    """Write config.json and model.safetensors (float16, tied decoder left out) to `folder`.

    The config asks for float32: the stored numbers are rounded to float16, arithmetic is not.
    """
    tied = model.decoder.weight is model.model.embeddings.tok_embeddings.weight
    weights = {
        name: value.detach().to(torch.float16).contiguous()
        for name, value in model.state_dict().items()
        if not (tied and name == "decoder.weight")
    }
    folder.mkdir(parents=True, exist_ok=True)
    with whole(folder / "model.safetensors") as temporary:
        save_file(weights, temporary, metadata={"format": "pt"})  # two keys would make the bytes vary
    config = model.config.to_diff_dict() | {"architectures": [type(model).__name__], "dtype": "float32"}
    config.pop("transformers_version", None)
    config.pop("torch_dtype", None)
    write_json(folder / "config.json", config)


def load_model(folder: Path, objective: str) -> LanguageModel:
    """The stored model in float32, as the benchmark loads it."""
    model: LanguageModel = ARCHITECTURES[objective][1].from_pretrained(folder, dtype=torch.float32)
    return model.eval()


def _save_state(
    path: Path,
    model: LanguageModel,
    optimisers: dict[str, torch.optim.Optimizer],
    facts: dict[str, object],
    losses: list[float],
) -> None:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    tensors = {f"model/{name}": parameter.detach() for name, parameter in model.named_parameters()}
    for kind, optimiser in optimisers.items():
        for parameter, state in optimiser.state.items():
            for key, value in state.items():
                tensors[f"{kind}/{names[id(parameter)]}/{key}"] = torch.as_tensor(value)
    tensors["losses"] = torch.tensor(losses, dtype=torch.float64)
    with whole(path) as temporary:
        save_file(tensors, temporary, metadata={"facts": json.dumps(facts, sort_keys=True)})


def _load_state(path: Path, model: LanguageModel, optimisers: dict[str, torch.optim.Optimizer]) -> list[float]:
    parameters = dict(model.named_parameters())
    losses: list[float] = []
    with safe_open(path, framework="pt") as file, torch.no_grad():
        for key in file.keys():  # noqa: SIM118 - not a dict
            kind, _, rest = key.partition("/")
            value = file.get_tensor(key)
            if kind == "losses":
                losses = value.tolist()
            elif kind == "model":
                parameters[rest].copy_(value)
            else:
                name, _, entry = rest.rpartition("/")
                optimisers[kind].state[parameters[name]][entry] = value
    return losses


def _facts(path: Path) -> dict[str, object]:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["facts"])


def _resumable(path: Path, identity: str, params: ModelParams) -> int:
    """The step of a stored state. Raises `TrainError` when going on would not give what was asked for."""
    facts = _facts(path)
    if facts["identity"] != identity:
        raise TrainError(
            f"{path} was made with other params or other tokens; remove the folder {path.parent} to start anew, "
            f"or put back the old values (only `steps`, `save_every` and `checkpoints` may change)"
        )
    step, before = int(str(facts["step"])), int(str(facts["steps"]))
    start = min(int(str(facts["decay_start"])), params.decay_start)
    if before != params.steps and step > start:
        raise TrainError(
            f"{path} is at step {step}, but with steps {before} and now {params.steps} the decay begins at "
            f"step {start}: `steps` can no longer be changed. Put {before} back, or start anew"
        )
    return step


def _identity(params: ModelParams, seed: int, vocabulary: int, stream: np.ndarray) -> str:
    """What a state must share to be resumed: all params but those that change nothing before the decay."""
    # bits of a few thousand places tell two streams apart without hashing all of a large one twice a run
    places = np.linspace(0, len(stream) - 1, 4096).astype(np.int64)
    text = f"{seed} {vocabulary} {len(stream)} {stream[places].tolist()}"
    return (
        digest(params, exclude={"steps", "save_every", "checkpoints"}) + " " + hashlib.sha256(text.encode()).hexdigest()
    )


def _train_step(
    model: LanguageModel,
    optimisers: dict[str, torch.optim.Optimizer],
    params: ModelParams,
    ids: Tensor,
    scale: float,
    vocabulary: int,
    seed: int,
    step: int,
) -> float:
    """One step on the blocks ids (batch, block), at ``scale`` times the learning rates: its loss."""
    inputs, places, targets = questions(params, ids, vocabulary, seed, step)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=params.precision == "bfloat16"):
        logits = logits_at(model, inputs, places)
    loss = functional.cross_entropy(logits.float(), targets)
    loss.backward()
    o = params.optimiser
    for optimiser, lr in ((optimisers["muon"], o.muon_lr), (optimisers["adam"], o.adam_lr)):
        for group in optimiser.param_groups:
            group["lr"] = lr * scale
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return loss.item()


def _save_losses(path: Path, losses: list[float]) -> None:
    with whole(path) as temporary:
        lines = [
            f"{start + len(losses[start : start + LOSS_EVERY])},{np.mean(losses[start : start + LOSS_EVERY]):.6f}"
            for start in range(0, len(losses), LOSS_EVERY)
        ]
        temporary.write_text("\n".join(["step,loss", *lines]) + "\n", encoding="utf-8")


def fit(
    params_path: Path,
    name: str,
    tokens: Path,
    output: Path,
    threads: int = 1,
    stop_at: int | None = None,
    report: Callable[[str], None] = lambda line: print(line, flush=True),
) -> None:
    """Train model `name` to its last step, going on from `output/state.safetensors` if it exists.

    `stop_at` ends the run early at that step with its state saved, as a kill right after a save would.
    """
    whole_params = load_params(params_path)
    params = whole_params.model(name)
    seed = whole_params.seed
    vocabulary = whole_params.tokenizer.size
    torch.set_num_threads(threads)
    stream = load_tokens(tokens)["train"]
    blocks = Blocks(stream, params.block, params.batch, seed)
    identity = _identity(params, seed, vocabulary, stream)
    model = build_model(params, vocabulary, whole_params.tokenizer.max_length, seed)
    optimisers = _optimisers(model, params)
    state = output / "state.safetensors"
    step, losses = 0, []
    if state.exists():
        step = _resumable(state, identity, params)
        losses = _load_state(state, model, optimisers)
        report(f"{name}: going on at step {step} of {params.steps}")
    (output / "run.json").unlink(missing_ok=True)

    def store() -> None:
        facts = {
            "identity": identity,
            "step": step,
            "steps": params.steps,
            "decay_start": params.decay_start,
        }
        _save_state(state, model, optimisers, facts, losses)

    def checkpoint() -> None:
        if step in params.checkpoints:
            save_weights(model, output / "checkpoints" / f"step-{step:06d}")

    model.train()
    if step == 0:
        checkpoint()
    began, first = time.monotonic(), step
    last = params.steps if stop_at is None else min(stop_at, params.steps)
    while step < last:
        ids, scale = blocks.ids(step), rate(params, step)
        losses.append(_train_step(model, optimisers, params, ids, scale, vocabulary, seed, step))
        step += 1
        if not math.isfinite(losses[-1]):
            raise TrainError(f"{name}: the loss is {losses[-1]} at step {step}; lower the learning rates")
        checkpoint()
        if step % PROGRESS_EVERY == 0 or step == last:
            elapsed = time.monotonic() - began
            speed = (step - first) * ids.numel() / elapsed
            report(
                f"{name}: step {step}/{params.steps} loss {np.mean(losses[-PROGRESS_EVERY:]):.3f} "
                f"rate {scale:.3f} {speed:.0f} tokens/s "
                f"ETA {(params.steps - step) * ids.numel() / speed / 60:.1f} min"
            )
        if step % params.save_every == 0 or step == last:
            store()
    if step < params.steps:
        return
    save_weights(model, output / "model")
    _save_losses(output / "losses.csv", losses)
    write_json(
        output / "run.json",
        {
            "model": name,
            "seed": seed,
            "params": params.model_dump(mode="json"),
            "tokens_sha256": sha256_file(tokens / TOKENS_FILE),
            "vocabulary": vocabulary,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "steps": step,
            "tokens": step * params.batch * params.block,
            "epochs": round(step * params.batch / len(blocks.data), 3),
        },
    )
