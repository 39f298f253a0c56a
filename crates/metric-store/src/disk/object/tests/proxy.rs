//! A proxy before the S3 server that spoils requests as a test wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is passed on and answered.
    Fine,
    /// It is answered with this status and not passed on.
    Status(u16),
    /// It is passed on after a while; nobody may wait for the answer any more.
    Late(Duration),
    /// The connection is cut before it is passed on.
    Cut,
    /// It is passed on and its answer is lost.
    Lost,
    /// Half of its answer gets through.
    Half,
}

type Decide = dyn FnMut(&str) -> Fate + Send;

/// The proxy; it serves as long as the program runs.
pub(super) struct Proxy {
    /// Where it is.
    pub(super) url: String,
    decide: Arc<Mutex<Box<Decide>>>,
}

impl Proxy {
    /// Before the server at `server`, an `http:` URL.
    pub(super) fn start(server: &str) -> Self {
        let server = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let decide: Arc<Mutex<Box<Decide>>> = Arc::new(Mutex::new(Box::new(|_: &str| Fate::Fine)));
        let decided = Arc::clone(&decide);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (server, decide) = (server.clone(), Arc::clone(&decided));
                // A client that gives up leaves an error here.
                std::thread::spawn(move || drop(serve(client, &server, &decide)));
            }
        });
        Self { url, decide }
    }

    /// From now on `decide` says what becomes of a request, by its first line.
    pub(super) fn set(&self, decide: impl FnMut(&str) -> Fate + Send + 'static) {
        *self.decide.lock().unwrap() = Box::new(decide);
    }
}

/// One request of a connection, which is closed after it.
fn serve(mut client: TcpStream, server: &str, decide: &Mutex<Box<Decide>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    let mut first = String::new();
    let mut len = 0;
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => len = value.trim().parse().unwrap(),
            "connection" => continue,
            _ => {}
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body)?;
    let fate = (decide.lock().unwrap())(&first);
    match fate {
        Fate::Cut => return client.shutdown(Shutdown::Both),
        Fate::Status(status) => {
            let answer =
                format!("HTTP/1.1 {status} Spoilt\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            return client.write_all(answer.as_bytes());
        }
        Fate::Late(after) => {
            // A blocking sleep, on a thread of its own.
            let (_never, wait) = std::sync::mpsc::channel::<()>();
            assert!(wait.recv_timeout(after).is_err());
        }
        Fate::Fine | Fate::Lost | Fate::Half => {}
    }
    let mut upstream = TcpStream::connect(server)?;
    upstream.write_all(format!("{first}{head}connection: close\r\n\r\n").as_bytes())?;
    upstream.write_all(&body)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    match fate {
        Fate::Lost => client.shutdown(Shutdown::Both),
        Fate::Half => client.write_all(&answer[..answer.len() / 2]),
        _ => client.write_all(&answer),
    }
}
