//! A sink's transactions in an external cluster, each with the number of the last epoch that is in it.

use std::{cell::RefCell, rc::Rc, time::Duration};

use base::PartitionIndex;
use client::{ClientError, TransactionError, TransactionalProducer, Transactions};
use streams::log::{EpochWriter, LocalFuture, WriteError};

use super::Cluster;

/// For so long a transaction may be open: it holds back whoever reads what is committed when this node is gone.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

const MARK: &str = "forebay epoch ";

/// See the module head.
pub(super) struct ExternalWriter {
    cluster: Rc<Cluster>,
    topic: String,
    /// Of the transactional id, and of the group that commits the mark.
    name: String,
    producer: RefCell<Option<Rc<TransactionalProducer>>>,
}

impl ExternalWriter {
    pub fn new(cluster: Rc<Cluster>, topic: String, name: String) -> Self {
        Self {
            cluster,
            topic,
            name,
            producer: RefCell::default(),
        }
    }

    async fn producer(&self) -> Result<Rc<TransactionalProducer>, ClientError> {
        let known = self.producer.borrow().clone();
        if let Some(known) = known {
            return Ok(known);
        }
        let connected = self.cluster.connect().await?;
        let config = Transactions {
            transactional_id: self.name.clone(),
            group: self.name.clone(),
            topic: self.topic.clone(),
            timeout: TRANSACTION_TIMEOUT,
        };
        let producer = Rc::new(TransactionalProducer::new(&connected.client, config));
        self.producer.replace(Some(producer.clone()));
        Ok(producer)
    }
}

fn unwritten(error: TransactionError) -> WriteError {
    match error {
        TransactionError::Unsettled(error) => WriteError::Passing(error.to_string()),
        TransactionError::Refused(error) => WriteError::Refused(error.to_string()),
    }
}

impl EpochWriter for ExternalWriter {
    fn take_over(&self) -> LocalFuture<'_, Result<Option<u64>, WriteError>> {
        Box::pin(async move {
            let producer = self.producer().await;
            let producer = producer.map_err(|error| WriteError::Passing(error.to_string()))?;
            let Some(mark) = producer.take_over().await.map_err(unwritten)? else {
                return Ok(None);
            };
            let epoch = mark.strip_prefix(MARK).and_then(|epoch| epoch.parse().ok());
            let refused = || {
                let name = &self.name;
                WriteError::Refused(format!(
                    "group \"{name}\" has committed \"{mark}\", which is no epoch"
                ))
            };
            epoch.ok_or_else(refused).map(Some)
        })
    }

    fn write(
        &self,
        epoch: u64,
        batches: Vec<(PartitionIndex, Vec<u8>)>,
    ) -> LocalFuture<'_, Result<(), WriteError>> {
        Box::pin(async move {
            let producer = self.producer().await;
            let producer = producer.map_err(|error| WriteError::Passing(error.to_string()))?;
            let mark = format!("{MARK}{epoch}");
            let written = producer.write(batches, &mark, epoch.cast_signed());
            written.await.map_err(unwritten)
        })
    }
}
