"""The equations of the paper, for one application, one session and one behavior at a time.

Nothing is packed, precomputed or shared: each product is written as the paper prints it, with
the concatenated vector behind one matrix. All functions take numpy arrays as well as tensors:
numpy gives the values, and autograd through the plain loop gives the gradients.

``p`` is always a dict of a module's parameters by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch

from tests.network.applications import Application, Behavior

Array = Any  # an ndarray or a Tensor
Parameters = Mapping[str, Array]


def library(x: Array) -> ModuleType:
    return torch if isinstance(x, torch.Tensor) else np


def sigmoid(z: Array) -> Array:
    # 1 / (1 + exp(-z)), which would overflow for seconds.
    return (1 + library(z).tanh(z / 2)) / 2


def join(vectors: Sequence[Array], axis: int = 0) -> Array:
    return library(vectors[0]).concatenate(list(vectors), axis=axis)


def stack(vectors: Sequence[Array]) -> Array:
    return library(vectors[0]).stack(list(vectors))


def zeros(n: int, like: Array) -> Array:
    xp = library(like)
    return xp.zeros(n, dtype=xp.float64)


def part(p: Parameters, prefix: str) -> Parameters:
    """Return the parameters of a submodule."""
    return {name[len(prefix) :]: p[name] for name in p if name.startswith(prefix)}


def time_major(lengths: Sequence[int]) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Return (sequence, step) in packed order, sequences running at each step, longest first."""
    steps = range(max(lengths, default=0))
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    positions = [(i, t) for t in steps for i in order if lengths[i] > t]
    return positions, [sum(length > t for length in lengths) for t in steps], order


# Equation 1


def field_aware(w: Array, e: Array) -> Array:
    z = w @ e
    return z * (z > 0)


# Equations 2 to 7


def time_aware_gru(p: Parameters, session: Sequence[tuple], log_interval: bool) -> Array:
    """Return T of one session, a list of (behavior, interval, week, month, further numbers)."""
    hidden, n_x = len(p["b_time"]), len(p["q"])
    # The module keeps the columns for [x; week; month] and for h apart.
    inputs, states = p["w_input"].T, p["w_state"].T
    by_gate = join([inputs[:, :n_x], states, inputs[:, n_x:]], axis=1)
    w_u, w_r, w_p = by_gate.reshape(3, hidden, -1)
    b_u, b_r, b_p = p["bias"].reshape(3, hidden)
    w_p = join([w_p, p["w_reset"].T], axis=1)
    w_m, b_m, q = p["w_time"].T, p["b_time"], p["q"]
    # Not of the paper: what further numbers add to each of the four.
    n_u, n_r, n_p, n_m = p["w_numbers"].T.reshape(4, hidden, -1)

    h = zeros(hidden, like=q)
    for x, d, week, month, n in session:
        wait = library(d).log1p(d) if log_interval else d
        u = sigmoid(w_u @ join([x, h, week, month]) + b_u + n_u @ n)
        r = sigmoid(w_r @ join([x, h, week, month]) + b_r + n_r @ n)
        proposal = library(x).tanh(w_p @ join([x, h, week, month, r * h]) + b_p + n_p @ n)
        time = sigmoid(w_m @ (x + sigmoid(q * wait)) + b_m + n_m @ n)
        h = (1 - u) * h + proposal * time * u
    return h


# Equations 8 to 12


def user_item_aware_gru(p: Parameters, intentions: Sequence[Array], context: Array) -> Array:
    """Return H from the intentions of all sessions; the context is [user; item]."""
    hidden = len(p["w_state"])
    inputs, contexts = p["w_input"].T, p["w_context"].T
    ur, proposals = slice(2 * hidden), slice(2 * hidden, None)
    # The columns stand for [x; h; context], and for [x; context; r * h].
    w_u, w_r = join([inputs[ur], p["w_state"].T, contexts[ur]], axis=1).reshape(2, hidden, -1)
    w_p = join([inputs[proposals], contexts[proposals], p["w_reset"].T], axis=1)
    b_u, b_r, b_p = p["bias"].reshape(3, hidden)

    h = zeros(hidden, like=w_u)
    for x in intentions:
        u = sigmoid(w_u @ join([x, h, context]) + b_u)
        r = sigmoid(w_r @ join([x, h, context]) + b_r)
        proposal = library(x).tanh(w_p @ join([x, context, r * h]) + b_p)
        h = (1 - u) * h + proposal * u
    return h


def plain_gru(p: Parameters, xs: Sequence[Array]) -> Array:
    """Return the last state of torch's GRU, as its documentation defines it."""
    w_x, w_h = p["gru.weight_ih_l0"], p["gru.weight_hh_l0"]
    b_x, b_h = p["gru.bias_ih_l0"], p["gru.bias_hh_l0"]
    hidden = w_h.shape[1]
    w_ir, w_iz, w_in = w_x.reshape(3, hidden, -1)
    w_hr, w_hz, w_hn = w_h.reshape(3, hidden, hidden)
    b_ir, b_iz, b_in = b_x.reshape(3, hidden)
    b_hr, b_hz, b_hn = b_h.reshape(3, hidden)

    h = zeros(hidden, like=w_x)
    for x in xs:
        r = sigmoid(w_ir @ x + b_ir + w_hr @ h + b_hr)
        z = sigmoid(w_iz @ x + b_iz + w_hz @ h + b_hz)
        n = library(x).tanh(w_in @ x + b_in + r * (w_hn @ h + b_hn))
        h = (1 - z) * n + z * h
    return h


# Equations 13 and 14, without the activation behind the last layer


def matrix(linear: Parameters) -> Array:
    """Return the matrix of a layer; that of the first has columns for T and H, then others."""
    if "weight" in linear:
        return linear["weight"]
    return join([linear["of_vectors"], linear["of_profile"]], axis=1)


def interaction(p: Parameters, x: Array, n_hidden: int) -> Array:
    """Return the two logits. A hidden layer is linear, PReLU and dropout, which is off here."""
    for layer in range(n_hidden):
        linear, slope = part(p, f"hidden.{3 * layer}."), p[f"hidden.{3 * layer + 1}.weight"]
        z = matrix(linear) @ x + linear["bias"]
        x = (z > 0) * z + slope * ((z < 0) * z)
    return matrix(part(p, "logits.")) @ x + p["logits.bias"]


def cross_entropy(logits: Array, overdue: int) -> Array:
    """Return equation 15 of the overdue probability."""
    xp = library(logits)
    p_overdue = xp.exp(logits[1]) / (xp.exp(logits[0]) + xp.exp(logits[1]))
    return -(overdue * xp.log(p_overdue) + (1 - overdue) * xp.log(1 - p_overdue))


# Figure 1


class Architecture(NamedTuple):
    """What the parameters alone do not tell."""

    behavior_sizes: tuple[int, ...]
    profile_sizes: tuple[int, ...]
    intention_dim: int
    n_hidden: int = 2
    log_interval: bool = True
    time_aware: bool = True
    user_item_aware: bool = True
    field_aware: bool = True
    hierarchical: bool = True
    mean_intention: bool = False


def map_behavior(p: Parameters, architecture: Architecture, behavior: Behavior) -> Array:
    """Return one field-wise behavior. The amount enters in front of the field matrix."""
    table = p["behavior_embedding.weight"]
    if behavior.index == len(table):
        return zeros(p["behavior_field_aware.weights.0"].shape[1], like=table)
    amount = 1.0 if behavior.amount is None else float(np.log1p(abs(behavior.amount)))
    in_field, field = behavior.index, 0
    while in_field >= architecture.behavior_sizes[field]:
        in_field -= architecture.behavior_sizes[field]
        field += 1
    if not architecture.field_aware:
        field = 0
    w = p[f"behavior_field_aware.weights.{field}"].T
    return field_aware(w, table[behavior.index] * amount)


def map_profile(p: Parameters, architecture: Architecture, profile: Array) -> list[Array]:
    """Return the field-wise user, device and item profile, empty where a field is empty."""
    mapped = []
    start, matrix = 0, 0
    for size in architecture.profile_sizes:
        if size:
            w = p[f"profile_field_aware.weights.{matrix}"].T
            mapped.append(field_aware(w, profile[start : start + size]))
            matrix += 1
        else:
            mapped.append(zeros(0, like=profile))
        start += size
    return mapped


def huihen(p: Parameters, architecture: Architecture, application: Application) -> Array:
    """Return the two logits of one application."""
    vectors = represent(p, architecture, application)
    like = p["behavior_embedding.weight"]
    topics = library(like).asarray(application.topics, dtype=library(like).float64)
    joined = join([*vectors[:2], *vectors[2], topics, *vectors[3]])
    return interaction(part(p, "interaction."), joined, architecture.n_hidden)


def represent(
    p: Parameters, architecture: Architecture, application: Application
) -> tuple[Array, Array, list[Array], list[Array]]:
    """Return intention, habit, mean intention where there is one, and field-wise profiles."""
    like = p["behavior_embedding.weight"]
    xp = library(like)
    profiles = map_profile(p, architecture, xp.asarray(application.profile, dtype=xp.float64))
    user, _, item = profiles
    intention, habit = part(p, "intention."), part(p, "habit.")

    if not architecture.hierarchical:
        behaviors = [b for session in application.sessions for b in session]
        h = plain_gru(habit, [map_behavior(p, architecture, b) for b in behaviors])
        return zeros(0, like=like), h, [], profiles

    intentions = []
    for session in application.sessions:
        xs = [map_behavior(p, architecture, behavior) for behavior in session]
        if architecture.time_aware:
            w = p["period_field_aware.weights.0"].T
            week = [field_aware(w, p["period_embedding.weekday"][b.weekday]) for b in session]
            days = p["period_embedding.monthday"]
            month = [field_aware(w, days[b.monthday - 1]) for b in session]
            wait = [xp.asarray(b.interval, dtype=xp.float64) for b in session]
            numbers = [xp.asarray(b.numbers, dtype=xp.float64) for b in session]
            steps = list(zip(xs, wait, week, month, numbers, strict=True))
            intentions.append(time_aware_gru(intention, steps, architecture.log_interval))
        else:
            intentions.append(plain_gru(intention, xs))
    t = intentions[-1] if intentions else zeros(architecture.intention_dim, like=like)
    if architecture.user_item_aware:
        h = user_item_aware_gru(habit, intentions, join([user, item]))
    else:
        h = plain_gru(habit, intentions)
    mean = sum(intentions, zeros(architecture.intention_dim, like=like)) / max(len(intentions), 1)
    return t, h, [mean] if architecture.mean_intention else [], profiles
