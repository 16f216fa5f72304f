//! Tests of the field readers and writers and of the frames.

use std::borrow::Cow;

use iobuf::IoBuf;

use super::{
    DecodeError, EncodeError, List, Reader, Records, RequestHeader, Writer, decode_response_header,
    encode_request, encode_response, frame_bytes,
};
use crate::{
    Message,
    messages::{
        ApiKey,
        api_versions::{ApiVersion, ApiVersionsResponse},
        fetch::{FetchResponse, FetchableTopicResponse, PartitionData},
        metadata::{MetadataRequest, MetadataRequestTopic},
        produce::{PartitionProduceData, ProduceRequest, TopicProduceData},
    },
};

fn encode<'a, M: Message<'a>>(message: &M, version: i16) -> Vec<u8> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version).expect("encodes");
    let bytes = writer.finish().to_vec();
    assert_eq!(message.encoded_len(version), Ok(bytes.len()));
    bytes
}

fn produce(records: Records<'_>) -> ProduceRequest<'_> {
    ProduceRequest {
        transactional_id: None,
        acks: -1,
        timeout_ms: 30_000,
        topic_data: List::from(vec![TopicProduceData {
            name: "topic".into(),
            partition_data: List::from(vec![PartitionProduceData { index: 3, records }]),
            ..TopicProduceData::default()
        }]),
    }
}

#[test]
fn a_produce_request_reads_back_at_every_version() {
    for version in 3..=12 {
        let bytes = encode(&produce(Records::Wire(b"batch")), version);
        let read = ProduceRequest::decode(&mut Reader::new(&bytes), version).expect("decodes");
        assert_eq!(read.acks, -1);
        let topic = read.topic_data.iter().next().expect("one topic");
        assert_eq!(topic.name, "topic");
        assert!(matches!(topic.name, Cow::Borrowed(_)));
        let partition = topic.partition_data.iter().next().expect("one partition");
        assert_eq!(partition.index, 3);
        assert_eq!(partition.records.as_wire(), Some(&b"batch"[..]));
        assert_eq!(encode(&read, version), bytes);
    }
}

#[test]
fn every_prefix_and_every_suffix_is_refused() {
    for version in [8, 9] {
        let mut bytes = encode(&produce(Records::Wire(b"batch")), version);
        for end in 0..bytes.len() {
            let read = ProduceRequest::decode(&mut Reader::new(&bytes[..end]), version);
            assert!(read.is_err(), "{end} bytes of version {version}");
        }
        bytes.push(0);
        let read = ProduceRequest::decode(&mut Reader::new(&bytes), version);
        assert_eq!(read.err(), Some(DecodeError::Trailing { left: 1 }));
    }
}

#[test]
fn no_string_is_longer_than_at_versions_with_short_lengths() {
    let request = |bytes: usize| {
        // One topic by name, then three flags and no tags.
        let length = u32::try_from(bytes + 1).expect("small");
        let mut writer = Writer::new();
        writer.uvarint(2);
        writer.uvarint(length);
        let mut request = writer.finish().to_vec();
        request.extend(std::iter::repeat_n(b' ', bytes));
        request.extend_from_slice(&[0, 0, 0, 0, 0]);
        request
    };
    let longest = request(32_767);
    let read = MetadataRequest::decode(&mut Reader::new(&longest), 9).expect("decodes");
    assert_eq!(read.topics.expect("some").len(), 1);
    let longer = request(32_768);
    let read = MetadataRequest::decode(&mut Reader::new(&longer), 9);
    assert_eq!(read.err(), Some(DecodeError::StringTooLong(32_768)));
}

#[test]
fn counts_are_checked_against_the_bytes_left() {
    // The five bytes that make other decoders ask for gigabytes.
    let read = MetadataRequest::decode(&mut Reader::new(&[0x7f, 0xff, 0xff, 0xff, 0]), 0);
    let count = i64::from(i32::MAX);
    assert_eq!(read.err(), Some(DecodeError::Count { count, left: 1 }));
    let read = MetadataRequest::decode(&mut Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]), 9);
    let count = i64::from(u32::MAX) - 1;
    assert_eq!(read.err(), Some(DecodeError::Count { count, left: 1 }));
    let read = MetadataRequest::decode(&mut Reader::new(&[0xff, 0xff, 0xff, 0xfe]), 0);
    assert_eq!(read.err(), Some(DecodeError::NegativeLength(-2)));
}

#[test]
fn varints_have_at_most_five_bytes_of_32_bits() {
    let read = |bytes: &[u8]| Reader::new(bytes).uvarint();
    assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
    assert_eq!(
        read(&[0xff, 0xff, 0xff, 0xff, 0x1f]),
        Err(DecodeError::Varint)
    );
    assert_eq!(
        read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]),
        Err(DecodeError::Varint)
    );
    assert_eq!(
        read(&[0x80]),
        Err(DecodeError::Truncated { needed: 2, left: 1 })
    );
}

#[test]
fn unknown_tagged_fields_are_skipped_and_their_sizes_hold() {
    let mut bytes = encode(&produce(Records::Wire(b"batch")), 9);
    assert_eq!(bytes.pop(), Some(0));
    bytes.extend_from_slice(&[1, 77, 2, 1, 2]);
    assert!(ProduceRequest::decode(&mut Reader::new(&bytes), 9).is_ok());
    bytes.pop();
    assert!(ProduceRequest::decode(&mut Reader::new(&bytes), 9).is_err());
}

#[test]
fn absent_fields_are_refused_unless_ignorable() {
    let mut request = MetadataRequest {
        topics: Some(List::from(vec![MetadataRequestTopic {
            name: Some("t".into()),
            ..MetadataRequestTopic::default()
        }])),
        allow_auto_topic_creation: false,
        ..MetadataRequest::default()
    };
    let refused = EncodeError::Unsupported {
        field: "AllowAutoTopicCreation",
        version: 3,
    };
    assert_eq!(request.encoded_len(3), Err(refused));
    assert!(request.encoded_len(4).is_ok());
    request.allow_auto_topic_creation = true;
    request.topics = None;
    assert_eq!(
        request.encoded_len(0),
        Err(EncodeError::Null { version: 0 })
    );
    assert!(request.encoded_len(1).is_ok());
    let unsupported = EncodeError::UnsupportedVersion {
        api_key: 3,
        version: 14,
    };
    assert_eq!(request.encoded_len(14), Err(unsupported));
}

#[test]
fn record_chains_are_linked_where_they_belong() {
    let response = |records: fn() -> Records<'static>| FetchResponse {
        session_id: 7,
        responses: List::from(vec![FetchableTopicResponse {
            topic: "t".into(),
            partitions: (0..3)
                .map(|partition_index| PartitionData {
                    partition_index,
                    records: records(),
                    preferred_read_replica: -1,
                    ..PartitionData::default()
                })
                .collect(),
            ..FetchableTopicResponse::default()
        }]),
        ..FetchResponse::default()
    };
    for version in [4, 11, 12] {
        let mut copied = Writer::new();
        let mut linked = Writer::new();
        let plain = response(|| Records::Wire(b"0123456789"));
        let chain = response(|| Records::from(IoBuf::from(b"0123456789".to_vec())));
        let session = version >= 7;
        for (message, writer) in [(plain, &mut copied), (chain, &mut linked)] {
            let message = FetchResponse {
                session_id: if session { 7 } else { 0 },
                ..message
            };
            message.encode(writer, version).expect("encodes");
            assert_eq!(message.encoded_len(version), Ok(writer.len()));
        }
        let linked = linked.finish();
        assert!(linked.chunks().len() >= 6);
        assert_eq!(linked.to_vec(), copied.finish().to_vec());
    }
}

#[test]
fn frames_carry_size_header_and_body() {
    let header = RequestHeader {
        api_key: 0,
        api_version: 9,
        correlation_id: 42,
        client_id: Some("c"),
    };
    let body = produce(Records::Null);
    let frame = encode_request(&header, &body).expect("encodes").to_vec();
    let size = frame_bytes([frame[0], frame[1], frame[2], frame[3]], 1000);
    assert_eq!(size, Ok(frame.len() - 4));
    let mut reader = Reader::new(&frame[4..]);
    assert_eq!(RequestHeader::decode(&mut reader), Ok(header));
    assert_eq!(reader.position(), 4 + 4 + 2 + 1 + 1);
    assert!(ProduceRequest::decode(&mut reader, 9).is_ok());
}

#[test]
fn api_versions_answers_without_tags_in_the_header() {
    let body = ApiVersionsResponse {
        api_keys: List::from(vec![ApiVersion {
            api_key: 18,
            min_version: 0,
            max_version: 4,
        }]),
        ..ApiVersionsResponse::default()
    };
    for version in 0..=4 {
        let frame = encode_response(9, version, &body)
            .expect("encodes")
            .to_vec();
        let (correlation_id, mut reader) =
            decode_response_header(&frame[4..], ApiKey::ApiVersions as i16, version)
                .expect("decodes");
        assert_eq!((correlation_id, reader.position()), (9, 4));
        let read = ApiVersionsResponse::decode(&mut reader, version).expect("decodes");
        assert_eq!(
            read.api_keys.iter().next().map(|api| api.max_version),
            Some(4)
        );
    }
}

#[test]
fn frame_sizes_are_bounded() {
    assert_eq!(frame_bytes([0, 0, 1, 0], 256), Ok(256));
    for size in [[0, 0, 1, 1], [0xff; 4], [0x7f, 0xff, 0xff, 0xff]] {
        assert!(frame_bytes(size, 256).is_err());
    }
}

#[test]
fn the_table_of_apis_has_no_unstable_version() {
    let versions = |key: ApiKey| key.versions().into_inner();
    assert_eq!(versions(ApiKey::Produce), (3, 13));
    assert_eq!(versions(ApiKey::Fetch), (4, 18));
    assert_eq!(versions(ApiKey::InitProducerId), (0, 5));
    assert_eq!(versions(ApiKey::ApiVersions), (0, 4));
    assert_eq!(ApiKey::from_i16(4), None);
    assert_eq!(ApiKey::from_i16(-1), None);
    assert_eq!(ApiKey::from_i16(1), Some(ApiKey::Fetch));
    assert_eq!(ApiKey::all().count(), 72);
    for key in ApiKey::all() {
        assert_eq!(ApiKey::from_i16(key as i16), Some(key));
    }
}
