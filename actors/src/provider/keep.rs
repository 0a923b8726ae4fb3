//! Stores the files that a call makes: checked by their first bytes, hashed and counted as they come, named by their
//! content, and visible only when whole. If the call does not end well, what it stored is removed again.
//!
//! An asset's id follows from its tenant, its request, its place among the files and its content. So a repeated attempt
//! that makes the same file finds it there, one that makes another file never changes what an outcome has named, and no
//! id leads from one tenant to another's asset.

use adapters::{FilePiece, Finished, Remedy};
use broker::{AssetLimits, ErrorKind, ObjectInfo, Objects, objects::ObjectWriter};
use schemas::{Action, Asset, AssetRecord, ErrorCode, MediaOutput, Output, Step, Work};
use sha2::{Digest, Sha256};
use tracing::debug;

use super::{
    Shared,
    sniff::{self, HEAD_BYTES},
};

/// The most files of one call: a provider that never stops must not fill the store.
const FILES_MAX: u32 = 32;
/// How many bytes of the hash an id contains.
const ID_BYTES: usize = 16;

/// Where assets go, and how large they may be.
#[derive(Debug, Clone)]
pub struct Store {
    /// The store.
    pub objects: Objects,
    /// Its limits.
    pub limits: AssetLimits,
}

/// The files of one call.
pub(super) struct Keep<'a> {
    shared: &'a Shared,
    work: &'a Work,
    step: &'a Step,
    open: Option<Open>,
    /// Each with what to remove if the call breaks off.
    kept: Vec<(Asset, Option<ObjectInfo>)>,
    done: bool,
}

/// A file that is being written.
struct Open {
    writer: ObjectWriter,
    /// Its first bytes, until there are enough to tell its type.
    head: Vec<u8>,
    media_type: Option<&'static str>,
    expires_at: jiff::Timestamp,
}

impl<'a> Keep<'a> {
    pub(super) const fn new(shared: &'a Shared, work: &'a Work, step: &'a Step) -> Self {
        Self { shared, work, step, open: None, kept: Vec::new(), done: false }
    }

    /// Takes one piece; returns the asset if it was the last piece of its file.
    pub(super) async fn take(&mut self, piece: FilePiece) -> Result<Option<&Asset>, adapters::Error> {
        let place = u32::try_from(self.kept.len()).unwrap_or(u32::MAX);
        if piece.file != place || place >= FILES_MAX {
            let why = format!("sent a piece of file {} where file {place} was to come", piece.file);
            return Err(self.nonsense(&why));
        }
        let mut open = self.open.take().unwrap_or_else(|| self.begin());
        let limit = self.shared.assets.limits.bytes_max;
        if open.writer.bytes().saturating_add(piece.bytes.len() as u64) > limit {
            let why = format!("made a file of more than {limit} bytes (assets.bytes_max)");
            return Err(self.error(ErrorCode::TooLarge, Remedy::Fatal, &why));
        }
        if open.media_type.is_none() {
            let missing = HEAD_BYTES.saturating_sub(open.head.len()).min(piece.bytes.len());
            open.head.extend_from_slice(&piece.bytes[..missing]);
            if open.head.len() >= HEAD_BYTES || piece.is_last {
                let sniffed = sniff::media_type(&self.work.request, &open.head);
                open.media_type = Some(sniffed.map_err(|why| self.useless(&why))?);
            }
        }
        open.writer.write(&piece.bytes).await.map_err(|error| self.not_stored(error))?;
        if !piece.is_last {
            self.open = Some(open);
            return Ok(None);
        }
        let kept = self.end(open).await?;
        self.kept.push(kept);
        Ok(self.kept.last().map(|(asset, _)| asset))
    }

    /// The call has ended well: the files it stored are its output.
    pub(super) fn finish(mut self, finished: &mut Finished) -> Result<(), adapters::Error> {
        let files = makes_files(self.work.request.action);
        if self.open.is_some() || (files && self.kept.is_empty()) {
            return Err(self.nonsense("ended without the whole of a file"));
        }
        self.done = true;
        if self.kept.is_empty() {
            return Ok(());
        }
        let usage = &mut finished.usage;
        if self.work.request.action == Action::ImageGenerate && usage.images == 0 {
            usage.images = self.kept.len() as u64;
        }
        let assets = std::mem::take(&mut self.kept).into_iter().map(|(asset, _)| asset).collect();
        match &mut finished.output {
            Output::Media(media) => media.assets = assets,
            output => *output = Output::Media(MediaOutput { assets, ..MediaOutput::default() }),
        }
        Ok(())
    }

    fn begin(&self) -> Open {
        let Store { objects, limits } = &self.shared.assets;
        // Counted from now, because the store forgets the first piece first.
        let expires_at = self.shared.outbox.now().saturating_add(limits.keep).unwrap_or(jiff::Timestamp::MAX);
        Open { writer: objects.write(), head: Vec::new(), media_type: None, expires_at }
    }

    async fn end(&self, open: Open) -> Result<(Asset, Option<ObjectInfo>), adapters::Error> {
        let sealed = open.writer.seal().await.map_err(|error| self.not_stored(error))?;
        let sha256 = hex(sealed.sha256());
        let id = self.id(&sha256);
        let asset = Asset {
            url: Asset::path(&id),
            media_type: open.media_type.unwrap_or_default().to_owned(),
            bytes: sealed.bytes(),
            sha256,
            expires_at: open.expires_at,
            id,
        };
        let note = serde_json::to_string(&self.record(&asset)).map_err(|error| {
            self.error(ErrorCode::Internal, Remedy::Fatal, "made a file that cannot be described")
                .with_source(error)
        })?;
        let _objects = &self.shared.assets.objects;
        let kept = sealed.keep(&asset.id, note).await;
        let (info, replaced) = kept.map_err(|error| self.not_stored(error))?;
        // If another attempt made the same file before, an outcome may already name it: it stays.
        Ok((asset, (!replaced).then_some(info)))
    }

    fn record(&self, asset: &Asset) -> AssetRecord {
        let payload = &self.work.request.payload;
        let prompt = ["prompt", "input"].iter().find_map(|field| payload.get(field)?.as_str());
        AssetRecord {
            asset: asset.clone(),
            tenant: self.work.tenant.clone(),
            request: self.work.id.clone(),
            provider: self.step.provider.clone(),
            model: self.step.model.clone(),
            prompt_sha256: prompt.map(|prompt| hex(&Sha256::digest(prompt))).unwrap_or_default(),
        }
    }

    fn id(&self, sha256: &str) -> String {
        let Work { tenant, id, .. } = self.work;
        // None of these contains a line break.
        let name = format!("{tenant}\n{id}\n{}\n{sha256}", self.kept.len());
        format!("asset_{}", hex(&Sha256::digest(name)[..ID_BYTES]))
    }

    /// A file that was paid for could not be stored. Another call would cost as much again: make it only if the store
    /// is likely to be back.
    fn not_stored(&self, error: broker::Error) -> adapters::Error {
        let (remedy, why) = match error.kind() {
            ErrorKind::Full => (
                Remedy::Fatal,
                "made a file, but the store of assets is full (assets.store_bytes_max); old assets expire by assets.keep_hours",
            ),
            ErrorKind::Disconnected | ErrorKind::Timeout => {
                (Remedy::Retry, "made a file, and the broker did not store it")
            }
            _ => (Remedy::Fatal, "made a file, and the store of assets refused it; the log says why"),
        };
        tracing::warn!(%error, id = %self.work.id, provider = self.step.provider, "a file is not stored");
        self.error(ErrorCode::Internal, remedy, why).with_source(error)
    }

    /// The file was made and paid for, and a retry would bring the same.
    fn useless(&self, why: &str) -> adapters::Error {
        self.error(ErrorCode::ProviderError, Remedy::FallBack, why)
    }

    fn nonsense(&self, why: &str) -> adapters::Error {
        self.error(ErrorCode::ProviderError, Remedy::Retry, why)
    }

    fn error(&self, code: ErrorCode, remedy: Remedy, why: &str) -> adapters::Error {
        adapters::Error::new(&self.step.provider, code, remedy, why)
    }
}

impl Drop for Keep<'_> {
    /// Runs however the call ended, also by deadline or cancel. If nobody removes the assets, they age out, seen only
    /// by those who were told of them.
    fn drop(&mut self) {
        if self.done || self.kept.is_empty() {
            return;
        }
        let (objects, kept) = (self.shared.assets.objects.clone(), std::mem::take(&mut self.kept));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                for (asset, info) in kept {
                    let Some(info) = info else { continue };
                    if let Err(error) = objects.delete(&info).await {
                        debug!(%error, id = asset.id, "the asset of a broken call stays until it ages out");
                    }
                }
            });
        }
    }
}

const fn makes_files(action: Action) -> bool {
    matches!(action, Action::ImageGenerate | Action::AudioSynthesize | Action::VideoRender)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
