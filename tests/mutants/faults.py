"""Small faults that the tests must catch, each put into a copy of the tree by itself."""

from typing import NamedTuple


class Fault(NamedTuple):
    """A fault: one text that is replaced by another in one file, where it must occur once.

    Attributes:
      name: what is wrong, in a few words.
      area: masks, kernels, variants, modules, decoding, data, training or storage.
      path: the file, relative to the root.
      right: the text as it is.
      wrong: the text with the fault.
      test: what pytest is given to find it: a file, a node id, or several separated by spaces.
    """

    name: str
    area: str
    path: str
    right: str
    wrong: str
    test: str


FAULTS = (
    Fault(
        name="padding of packed sequences sees padding",
        area="masks",
        path="attention/masks/padding.py",
        right="return (q_segment == k_segment) & (k_segment != 0)",
        wrong="return q_segment == k_segment",
        test="tests/test_masks.py::test_dense_is_the_predicate",
    ),
    Fault(
        name="after a full block the last block begins one block late",
        area="masks",
        path="attention/masks/blocks.py",
        right="return jnp.maximum(jnp.asarray(self.lengths_B) - 1, 0) // self.size * self.size",
        wrong="return jnp.asarray(self.lengths_B) // self.size * self.size",
        test="tests/variants/patterns/test_bigbird.py::test_the_last_block_is_that_of_the_true_length",
    ),
    Fault(
        name="near keys of a strided pattern count again among its columns",
        area="masks",
        path="attention/masks/strided.py",
        right="columns = MaskComponent(~near if self.local else Everything(), order,",
        wrong="columns = MaskComponent(Everything(), order,",
        test="tests/laws/test_equation.py -k strided",
    ),
    Fault(
        name="scores of a cached step are not divided by sqrt(D)",
        area="kernels",
        path="attention/kernels/decode/step.py",
        right="s_BGXK.reshape(batch, groups, q_len, shared, k_len) / math.sqrt(size)",
        wrong="s_BGXK.reshape(batch, groups, q_len, shared, k_len)",
        test="tests/variants/dense/test_softmax.py::test_cached_decoding_is_the_full_pass",
    ),
    Fault(
        name="slots of a ring are taken for a position one later",
        area="kernels",
        path="attention/kernels/decode/cache.py",
        right="last_B1 = index_B[:, None] - 1",
        wrong="last_B1 = index_B[:, None]",
        test='tests/laws/test_decoding.py -k "local-decoder"',
    ),
    Fault(
        name="an edge that is given twice counts twice",
        area="kernels",
        path="attention/variants/graph/edges.py",
        right="return Pairs(q_BP, k_BP, new_BP & (q_BP < nodes))",
        wrong="return Pairs(q_BP, k_BP, q_BP < nodes)",
        test="tests/variants/graph/test_edges.py::test_pairs_are_in_order_and_count_once",
    ),
    Fault(
        name="a bias that is broadcast has the gradient of its last tile alone",
        area="kernels",
        path="attention/biases.py",
        right="new = old + _summed_to(ds_BHQK, sizes).astype(old.dtype)",
        wrong="new = _summed_to(ds_BHQK, sizes).astype(old.dtype)",
        test="tests/test_biases.py::test_the_gradient_by_tile_is_that_of_the_whole",
    ),
    Fault(
        name="the performer's keys are damped by all of their squared norm, not by half",
        area="variants",
        path="attention/variants/linear/performer.py",
        right="k_BKHR -= (k_BKHD**2).sum(axis=-1, keepdims=True) / 2",
        wrong="k_BKHR -= (k_BKHD**2).sum(axis=-1, keepdims=True)",
        test="tests/laws/test_equation.py -k performer",
    ),
    Fault(
        name="centroids of clusters move in evaluation too",
        area="variants",
        path="attention/variants/clustered/routing.py",
        right="        if rng is not None:\n"
        '            state = {"centroids": self._moved(centroids_HND, routed)}\n',
        wrong='        state = {"centroids": self._moved(centroids_HND, routed)}\n',
        test="tests/variants/clustered/test_routing.py::test_centroids_move_in_training_alone",
    ),
    Fault(
        name="keys of padding are projected among the others",
        area="variants",
        path="attention/kernels/inputs.py",
        right="    return Inputs(*zero_padding(q_BQHD, k_BKHD, v_BKHE, mask), mask, bias, x_BTM)",
        wrong="    q_BQHD, _, v_BKHE = zero_padding(q_BQHD, k_BKHD, v_BKHE, mask)\n"
        "    return Inputs(q_BQHD, k_BKHD, v_BKHE, mask, bias, x_BTM)",
        test='tests/laws/test_padding.py -k "linformer-none and not multi"',
    ),
    Fault(
        name="the update gate of a GRU is the other way round",
        area="variants",
        path="attention/variants/mixers/gru.py",
        right="return (z_NBR * h_NBR + (1 - z_NBR) * new_NBR,)",
        wrong="return ((1 - z_NBR) * h_NBR + z_NBR * new_NBR,)",
        test="tests/laws/test_equation.py -k gru",
    ),
    Fault(
        name="Sinkhorn's iterations divide rows twice and columns never",
        area="variants",
        path="attention/variants/clustered/sinkhorn_balance.py",
        right="return kept(s_BHNJ - jax.nn.logsumexp(s_BHNJ, axis=2, keepdims=True)), None",
        wrong="return kept(s_BHNJ - jax.nn.logsumexp(s_BHNJ, axis=3, keepdims=True)), None",
        test="tests/variants/clustered/test_sinkhorn.py::test_columns_sum_to_one_and_rows_nearly",
    ),
    Fault(
        name="global tokens are not seen from beyond the window",
        area="variants",
        path="attention/variants/patterns/longformer.py",
        right="inputs.under(windows.pattern(self, also=chosen.keys()))",
        wrong="inputs.under(windows.pattern(self))",
        test="tests/laws/test_equation.py -k longformer",
    ),
    Fault(
        name="padding counts in a batch's mean and variance",
        area="modules",
        path="attention/modules/normalisation.py",
        right="count = real_BT.sum()",
        wrong="count = real_BT.size",
        test="tests/modules/test_normalisation.py::test_in_training_by_the_real_tokens",
    ),
    Fault(
        name="what attention lacks to a sum of one is neither copied nor generated",
        area="modules",
        path="attention/modules/copying.py",
        right="log_generate_BT1 = _log_add(log_generate_BT1, log_copy_BT1, lacking_BT1)",
        wrong="log_generate_BT1 = _log_add(log_generate_BT1, log_copy_BT1, 0 * lacking_BT1)",
        test="tests/modules/test_copying.py::test_equal_to_the_papers_equations",
    ),
    Fault(
        name="a token that is decoded stands one position late",
        area="modules",
        path="attention/models/transformer.py",
        right='self._place(self.embed_target(token_B[:, None]), cache["pos_B"][:, None])',
        wrong='self._place(self.embed_target(token_B[:, None]), cache["pos_B"][:, None] + 1)',
        test="tests/models/test_transformer.py::test_cached_decoding_is_the_full_pass",
    ),
    Fault(
        name="before a sublayer the residual is normalised too",
        area="modules",
        path="attention/modules/layers.py",
        right="x_BTM = x_BTM + self.drop(out_BTM)",
        wrong="x_BTM = self.before(x_BTM, real_BT) + self.drop(out_BTM)",
        test="tests/models/test_transformer.py::test_equal_to_the_papers_equations",
    ),
    Fault(
        name="a search forgets the penalty ahead, and stops before a longer sequence wins",
        area="decoding",
        path="attention/decoding/beam.py",
        right="best_B / jnp.maximum(penalty_T[t + 1], penalty_T[rows.limit_B])",
        wrong="best_B / penalty_T[t + 1]",
        test="tests/decoding/test_beam.py::test_equals_a_search_that_never_stops_early",
    ),
    Fault(
        name="the token that completes a nucleus is left out",
        area="decoding",
        path="attention/decoding/sample.py",
        right="before_BK = jnp.cumsum(prob_BK, axis=-1) - prob_BK",
        wrong="before_BK = jnp.cumsum(prob_BK, axis=-1)",
        test="tests/decoding/test_sample.py::test_frequencies",
    ),
    Fault(
        name="hypotheses and references are swapped",
        area="decoding",
        path="attention/lab/evaluation/scores.py",
        right="metric.corpus_score(list(hypotheses), [list(references)])",
        wrong="metric.corpus_score(list(references), [list(hypotheses)])",
        test="tests/lab/evaluation/test_scores.py -k paired_bootstrap_tells_a_worse_system",
    ),
    Fault(
        name="an epoch lacks the last example of each bucket",
        area="data",
        path="attention/lab/data/batching/batches.py",
        right="(len(members[n]) * p // self._counts[n] for p in (place, place + 1))",
        wrong="((len(members[n]) - 1) * p // self._counts[n] for p in (place, place + 1))",
        test="tests/lab/data/test_batches.py::test_an_epoch_holds_every_example_once",
    ),
    Fault(
        name="a target as long as its bucket goes to a longer one",
        area="data",
        path="attention/lab/data/batching/buckets.py",
        right="(source_lengths <= source) & (target_lengths <= target)",
        wrong="(source_lengths <= source) & (target_lengths < target)",
        test="tests/lab/data/test_buckets.py::test_assign_takes_the_smallest_that_fits",
    ),
    Fault(
        name="a sentence that is cut loses its eos",
        area="data",
        path="attention/lab/data/batching/examples.py",
        right="np.append(kept[index][: max_length - 1], np.int32(EOS))",
        wrong="kept[index][:max_length]",
        test="tests/lab/data/test_examples.py::test_sources_are_cut_and_keep_their_eos",
    ),
    Fault(
        name="the warmup begins one update late, from nothing",
        area="training",
        path="attention/lab/training/schedules.py",
        right="s = jnp.asarray(count, jnp.float32) + 1",
        wrong="s = jnp.asarray(count, jnp.float32)",
        test="tests/lab/training/test_schedules.py::test_the_papers_rates",
    ),
    Fault(
        name="gradients that are accumulated are divided twice",
        area="training",
        path="attention/lab/training/step.py",
        right="lambda g: g * scale.astype(g.dtype), grads",
        wrong="lambda g: g * scale.astype(g.dtype) / accumulate, grads",
        test="tests/lab/training/test_step.py::test_four_microbatches_equal_the_whole_batch",
    ),
    Fault(
        name="what is predicted for a position is read one position early",
        area="training",
        path="attention/lab/training/noise.py",
        right="chosen = jnp.roll(self.mix.choose(logits_BTV, rng=rng_mix), 1, axis=1)",
        wrong="chosen = self.mix.choose(logits_BTV, rng=rng_mix)",
        test="tests/lab/training/test_noise.py::test_rate_1_reads_the_first_pass_shifted",
    ),
    Fault(
        name="padding has a smoothed loss as tokens have",
        area="training",
        path="attention/lab/tasks/translation.py",
        right="target_BT, target_BT != PAD, label_smoothing=self.label_smoothing",
        wrong="target_BT, target_BT >= PAD, label_smoothing=self.label_smoothing",
        test="tests/lab/tasks/test_translation.py -k the_loss_is_the_smoothed_cross_entropy",
    ),
    Fault(
        name="the optimiser begins anew where a checkpoint is read",
        area="storage",
        path="attention/lab/storage/checkpoints.py",
        right='tree = self._arrays.restore(self._steps.path(step) / "state", abstract)\n',
        wrong='tree = self._arrays.restore(self._steps.path(step) / "state", abstract)\n'
        '        tree["opt_state"] = jax.tree.map(jax.numpy.zeros_like, tree["opt_state"])\n',
        test="tests/lab/training/test_loop.py::test_a_resumed_run_is_the_same_run",
    ),
    Fault(
        name="checksums of files are worked out and not compared",
        area="storage",
        path="attention/lab/storage/checksums.py",
        right="for name in both if _digest(directory / name) != sums[name]]",
        wrong="for name in both if _digest(directory / name) is None]",
        test="tests/lab/storage/test_checksums.py::test_any_flipped_bit_is_found_and_its_file_named",
    ),
    Fault(
        name="a run that resumes loses the metrics of the step it resumes from",
        area="storage",
        path="attention/lab/storage/metrics.py",
        right='if (entry["step"] or 0) <= step]',
        wrong='if (entry["step"] or 0) < step]',
        test="tests/lab/storage/test_metrics.py::test_resuming_drops_later_steps_and_a_torn_line",
    ),
)
