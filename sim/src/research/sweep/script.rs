// SPDX-License-Identifier: GPL-2.0-only
//! Beyond one machine: scripts for what is installed there. No engine inside.
//!
//! Every script does the same: run each shard into one folder (shared, or brought together
//! afterwards), then merge. Shards know nothing of each other; one that died is run again.

/// For whom a script is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scheduler {
    /// GNU parallel.
    Parallel,
    /// A Slurm array.
    Slurm,
    /// Ray, from Python.
    Ray,
}

/// A word in quotes, so that a shell takes it as it is.
pub(crate) fn in_quotes(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A script that runs `study` in `shards` shards.
#[must_use]
pub fn script(scheduler: Scheduler, study: &str, out: &str, shards: usize) -> String {
    let (study_word, out_word) = (in_quotes(study), in_quotes(out));
    match scheduler {
        Scheduler::Parallel => format!(
            "#!/bin/sh\n\
             # {shards} shards by GNU parallel; add --sshloginfile nodes for more machines.\n\
             set -eu\n\
             mkdir -p {out_word}\n\
             seq 1 {shards} | parallel --quote --joblog {out_word}/joblog --resume-failed --halt now,fail=1 \\\n  \
             \"${{NFEXP:-nfexp}}\" sweep run {study_word} --shard '{{}}/{shards}' --jobs 1 \
             --out {out_word}\n\
             \"${{NFEXP:-nfexp}}\" sweep merge {study_word} {out_word} > {out_word}/results.csv\n"
        ),
        Scheduler::Slurm => format!(
            "#!/bin/sh\n\
             #SBATCH --job-name=nfexp\n\
             #SBATCH --array=1-{shards}\n\
             #SBATCH --cpus-per-task=1\n\
             # Afterwards: nfexp sweep merge STUDY OUT > results.csv\n\
             set -eu\n\
             exec \"${{NFEXP:-nfexp}}\" sweep run {study_word} \
             --shard \"$SLURM_ARRAY_TASK_ID/{shards}\" --jobs 1 --out {out_word}\n"
        ),
        Scheduler::Ray => format!(
            "# {shards} shards by Ray: pip install ray; nfexp on the PATH of every node.\n\
             import os, subprocess, ray\n\n\
             NFEXP, STUDY, OUT, SHARDS = os.environ.get(\"NFEXP\", \"nfexp\"), {study:?}, {out:?}, {shards}\n\
             ray.init()\n\n\
             @ray.remote(num_cpus=1, max_retries=3)\n\
             def shard(i):\n    \
             subprocess.run([NFEXP, \"sweep\", \"run\", STUDY, \"--shard\", f\"{{i}}/{{SHARDS}}\",\n                    \
             \"--jobs\", \"1\", \"--out\", OUT], check=True)\n    \
             return i\n\n\
             print(len(ray.get([shard.remote(i) for i in range(1, SHARDS + 1)])), \"shards done\")\n\
             with open(os.path.join(OUT, \"results.csv\"), \"wb\") as results:\n    \
             subprocess.run([NFEXP, \"sweep\", \"merge\", STUDY, OUT], stdout=results, check=True)\n"
        ),
    }
}
