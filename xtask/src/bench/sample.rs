//! What was measured, and the lone syncs that durable writes are held against.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// One measurement. Times in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// What succeeded.
    pub count: u64,
    /// How long it took altogether.
    pub seconds: f64,
    pub p50: f64,
    pub p99: f64,
    /// CPU time of the server's process.
    pub server_cpu: f64,
    /// CPU time of the client's process.
    pub client_cpu: f64,
}

impl Sample {
    pub fn per_second(&self) -> f64 {
        self.count as f64 / self.seconds
    }
}

/// The median of some figure over rounds.
pub fn median(rounds: &[Sample], figure: impl Fn(&Sample) -> f64) -> f64 {
    let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
    quantile(&mut figures, 0.5)
}

/// The value below which `share` of the values are; zero where there are none.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values
        .get((last as f64 * share).round() as usize)
        .copied()
        .unwrap_or_default()
}

/// Appends 4 KiB to a new file in `folder` and syncs them, over and over: the least that a durable write costs here.
pub fn lone_syncs(folder: &Path, time: Duration) -> anyhow::Result<Sample> {
    let path = folder.join("appended");
    let mut file = File::create(&path).with_context(|| format!("{} cannot be made", path.display()))?;
    let mut each = Vec::new();
    let started = Instant::now();
    while started.elapsed() < time {
        let before = Instant::now();
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
        each.push(before.elapsed().as_secs_f64());
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(Sample {
        count: each.len() as u64,
        seconds,
        p50: quantile(&mut each, 0.5),
        p99: quantile(&mut each, 0.99),
        server_cpu: 0.0,
        client_cpu: 0.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values_wherever_they_stand() {
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.99), 3.0);
        assert_eq!(quantile(&mut [], 0.5), 0.0);
    }
}
