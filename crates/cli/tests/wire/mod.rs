//! A client that sees each byte of HTTP/1.1.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

pub fn post(operation: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("POST /v1/api/connections/{operation} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    /// Whether it is a refusal for want of room, as the contract wants it.
    pub fn is_refusal(&self) -> bool {
        [429, 503].contains(&self.status) && self.head.contains("\r\nretry-after: ")
    }

    pub fn length(&self) -> usize {
        let length = self.head.split_once("\r\ncontent-length: ");
        length.map_or(0, |(_, rest)| rest.split_once('\r').unwrap().0.parse().unwrap())
    }
}

pub struct Wire(pub BufReader<TcpStream>);

impl Wire {
    pub async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes).await
    }

    /// An answer's head.
    pub async fn head(&mut self) -> io::Result<Reply> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(self.0.read_u8().await?.into());
        }
        Ok(Reply {
            status: head[9..12].parse().unwrap(),
            head: head.to_ascii_lowercase(),
            body: Vec::new(),
        })
    }

    pub async fn reply(&mut self) -> io::Result<Reply> {
        let mut reply = self.head().await?;
        reply.body = vec![0; reply.length()];
        self.0.read_exact(&mut reply.body).await?;
        Ok(reply)
    }

    pub async fn ask(&mut self, request: &[u8]) -> io::Result<Reply> {
        self.send(request).await?;
        self.reply().await
    }
}
