//! What was fetched stays in the store, whatever else is tidied up there.

use image_tree::{BlobHash, Store, StoreError};

use crate::{catalogs, manifests, repository};

/// All contents of `store` that were fetched from repositories: catalogs, manifests and files of packages. A collection
/// that leaves them alone leaves a workspace that can be built again without a network.
///
/// # Errors
/// The records of the store cannot be read.
pub fn kept_contents(store: &Store) -> Result<Vec<BlobHash>, StoreError> {
    let mut kept = Vec::new();
    for record in store.records(catalogs::NAMESPACE)? {
        kept.extend(catalogs::blobs(&record.value));
    }
    for namespace in [manifests::NAMESPACE, repository::PAYLOADS] {
        let records = store.records(namespace)?;
        kept.extend(records.iter().filter_map(|record| first_word(&record.value).parse::<BlobHash>().ok()));
    }
    kept.retain(|blob| store.contains(*blob));
    Ok(kept)
}

/// A hash, behind which may be a length.
fn first_word(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_records_name_is_kept_and_what_is_gone_is_not() {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(scratch.path().join("store")).unwrap();
        let put = |text: &str| store.put_bytes(text.as_bytes()).unwrap().blob();
        let [attrs, part, manifest, payload] = ["attrs", "part", "manifest", "payload"].map(put);
        let catalog = format!(r#"{{"attrs":"{attrs}","parts":{{"catalog.base.C":"{part}"}}}}"#);
        store.record_put(catalogs::NAMESPACE, b"one", catalog.as_bytes()).unwrap();
        store.record_put(catalogs::NAMESPACE, b"damaged", b"{").unwrap();
        store.record_put(manifests::NAMESPACE, b"app", manifest.to_string().as_bytes()).unwrap();
        store.record_put(repository::PAYLOADS, b"file", format!("{payload} 7").as_bytes()).unwrap();
        store.record_put(repository::PAYLOADS, b"gone", format!("{} 4", BlobHash::of(b"gone")).as_bytes()).unwrap();
        let mut kept = kept_contents(&store).unwrap();
        let mut expected = vec![attrs, part, manifest, payload];
        kept.sort();
        expected.sort();
        assert_eq!(kept, expected);
    }
}
