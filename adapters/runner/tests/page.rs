//! The page that `explain --html` writes: that nothing in a program becomes markup, and, in a browser, that it renders,
//! says nothing on the console, fetches nothing, and links an op to its stencils, bytes and live range.
//!
//! The tests in a browser are run by `ci/page.sh`, which names one in `PATCHJIT_BROWSER`: any that speaks the DevTools
//! protocol through a pipe, as Chromium does.

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A folder that is removed with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("patchjit-page-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn explain(program: &Path, page: &Path) {
    let ran = Command::new(env!("CARGO_BIN_EXE_patchjit"))
        .args(["explain".as_ref(), program, "--html".as_ref(), page])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{errors}");
    assert!(ran.stdout.is_empty() && errors.is_empty());
}

fn program(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs");
    folder.join(name)
}

/// A file whose name and comments are markup.
fn hostile(folder: &Folder) -> PathBuf {
    let name = "<img src=x onerror=alert(1)>\"'&amp;@@DATA@@.uop";
    let path = folder.0.join(name);
    let source = "\
; </script><script>alert(1)</script>
func @f(a: i64) -> i64 { ; <!--<script>
entry: ; ]]>
    b = i64.add a, a ; </script><img src=x onerror=alert(2)>
    return b
}
";
    std::fs::write(&path, source).unwrap();
    path
}

fn data(page: &str) -> Value {
    let (_, data) = page
        .split_once("<script type=\"application/json\" id=\"data\">")
        .unwrap();
    let (data, _) = data.split_once("</script>").unwrap();
    assert!(!data.contains(['<', '>', '&']));
    serde_json::from_str(data).unwrap()
}

#[test]
fn nothing_in_a_program_becomes_markup() {
    let folder = Folder::new("hostile");
    let page = folder.0.join("page.html");
    explain(&hostile(&folder), &page);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(!page.contains("<img"));
    assert_eq!(page.matches("<script").count(), 2);
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;amp;@@DATA@@.uop"));
    let data = data(&page);
    let file = data["heading"]["file"].as_str().unwrap();
    assert!(file.ends_with("<img src=x onerror=alert(1)>\"'&amp;@@DATA@@.uop"));
}

#[test]
fn the_page_needs_nothing_else() {
    let folder = Folder::new("alone");
    let page = folder.0.join("page.html");
    explain(&program("sum_squares.uop"), &page);
    let page = std::fs::read_to_string(page).unwrap();
    for word in [
        "http:", "https:", "src=", "@import", "url(", "fetch(", "import(",
    ] {
        let known = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!known.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn the_data_is_the_program() {
    let folder = Folder::new("data");
    let page = folder.0.join("page.html");
    explain(&program("sum_squares.uop"), &page);
    let data = data(&std::fs::read_to_string(page).unwrap());
    let function = &data["functions"][0];
    assert_eq!(function["name"], "@sum_squares");
    assert_eq!(function["ops"].as_array().unwrap().len(), 14);
    let ops = function["ops"].as_array().unwrap();
    let at = ops
        .iter()
        .position(|op| op == "next = i64.add i, one")
        .unwrap();
    let values = function["values"].as_array().unwrap();
    let next = values.iter().find(|value| value["n"] == "next").unwrap();
    assert_eq!(next["d"], at);
    assert_eq!(next["u"], json!([at + 2]));
    let code = function["code"].as_array().unwrap();
    let stencil = code.iter().find(|stencil| stencil["s"] == at).unwrap();
    let family = stencil["f"].as_u64().unwrap() as usize;
    assert_eq!(data["families"][family], "i64.add.Immediate");
    assert_eq!(stencil["m"], "1");
}

#[test]
fn a_page_that_cannot_be_written_is_an_error() {
    let ran = Command::new(env!("CARGO_BIN_EXE_patchjit"))
        .args(["explain".as_ref(), program("fib.uop").as_os_str()])
        .args(["--html", "/nowhere/page.html"])
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(
        errors.starts_with("/nowhere/page.html: error: "),
        "{errors}"
    );
}

/// A browser without a window, spoken to through a pipe: messages in JSON, each with a zero byte behind it.
struct Browser {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    number: u64,
    session: String,
    /// What the page said on the console, threw, or asked the network for.
    said: Vec<String>,
    _profile: Folder,
}

impl Browser {
    /// Opens a page. `None` if no browser was named.
    fn open(page: &Path, fragment: &str) -> Browser {
        let browser =
            std::env::var_os("PATCHJIT_BROWSER").expect("PATCHJIT_BROWSER; see ci/page.sh");
        let stem = page.file_stem().unwrap().to_string_lossy();
        let profile = Folder::new(&format!("profile-{stem}"));
        // The browser reads commands from descriptor 3 and writes answers to 4.
        let mut process = Command::new("sh")
            .args([
                "-c",
                "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1",
                "sh",
            ])
            .arg(browser)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--remote-debugging-pipe",
            ])
            .args(["--window-size=1500,950", "--disable-background-networking"])
            .arg(format!("--user-data-dir={}", profile.0.display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let to = process.stdin.take().unwrap();
        let from = BufReader::new(process.stdout.take().unwrap());
        let mut browser = Browser {
            process,
            to,
            from,
            number: 0,
            session: String::new(),
            said: Vec::new(),
            _profile: profile,
        };
        let target = browser.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.ask("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().unwrap().to_string();
        for domain in ["Runtime", "Log", "Network", "Page"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        let url = format!("file://{}{fragment}", page.display());
        browser.ask("Page.navigate", json!({ "url": url }));
        browser.wait_until("document.readyState === 'complete'");
        browser
    }

    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        loop {
            let mut bytes = Vec::new();
            self.from.read_until(0, &mut bytes).unwrap();
            assert_eq!(bytes.pop(), Some(0), "the browser ended");
            let message: Value = serde_json::from_slice(&bytes).unwrap();
            if message["id"] == self.number {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        let parameters = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded") => {
                self.said.push(message.to_string());
            }
            Some("Network.requestWillBeSent") => {
                let url = parameters["request"]["url"].as_str().unwrap_or("");
                if !url.starts_with("file:") && !url.starts_with("data:") {
                    self.said.push(format!("asked for {url}"));
                }
            }
            _ => {}
        }
    }

    /// What an expression of JavaScript gives.
    fn value(&mut self, expression: &str) -> Value {
        let parameters =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.ask("Runtime.evaluate", parameters);
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    fn wait_until(&mut self, expression: &str) {
        let end = Instant::now() + Duration::from_secs(30);
        while self.value(expression) != json!(true) {
            assert!(Instant::now() < end, "never true: {expression}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Clicks the middle of the first element that a selector finds.
    fn click(&mut self, selector: &str) {
        let selector = json!(selector);
        let expression = format!(
            "(() => {{ const r = document.querySelector({selector}).getBoundingClientRect(); \
             return [r.x + Math.min(r.width / 2, 200), r.y + r.height / 2]; }})()"
        );
        let place = self.value(&expression);
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": button, "clickCount": 1 });
            self.ask("Input.dispatchMouseEvent", event);
        }
    }

    fn text(&mut self, selector: &str) -> String {
        let expression = format!("document.querySelector({}).textContent", json!(selector));
        self.value(&expression).as_str().unwrap_or("").to_string()
    }

    fn count(&mut self, selector: &str) -> u64 {
        let expression = format!("document.querySelectorAll({}).length", json!(selector));
        self.value(&expression).as_u64().unwrap()
    }

    fn close(mut self) {
        assert_eq!(self.said, Vec::<String>::new());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "needs a browser: ci/page.sh"]
fn an_op_is_linked_to_its_stencils_and_live_range() {
    let folder = Folder::new("linked");
    let page = folder.0.join("linked.html");
    explain(&program("sum_squares.uop"), &page);
    let mut browser = Browser::open(&page, "");
    assert_eq!(browser.text("#function option"), "@sum_squares (14)");
    // `next = i64.add i, one`; the comparison behind it is made by the branch.
    assert!(browser.count("#lanes rect.r") >= 7);
    browser.click(".row.first[data-p='9']");
    assert!(browser.text("#detail h2").contains("next = i64.add i, one"));
    let detail = browser.text("#detail");
    for part in ["i in r", "next  r", "read by 11", "i64.add.Immediate", "#1"] {
        assert!(detail.contains(part), "{part}: {detail}");
    }
    assert_eq!(browser.count("#lanes rect.gives"), 1);
    assert!(
        browser
            .text("#lanes rect.gives title")
            .starts_with("next: r")
    );
    assert!(browser.text("#lanes rect.reads title").starts_with("i: r"));
    assert_eq!(browser.count(".row.chosen[data-p='9']"), 1);
    assert_eq!(browser.count(".row.reads-it.first[data-p='11']"), 1);
    assert_eq!(browser.value("location.hash"), json!("#0:op9"));
    // From the value back to the op that gives it.
    browser.click("#detail a[data-v]");
    assert_eq!(
        browser.value("location.hash.startsWith('#0:value')"),
        json!(true)
    );
    browser.click("#lanes rect.r[data-v='0']");
    assert_eq!(browser.value("location.hash"), json!("#0:value0"));
    // A distance leads to where it points: the loop's head.
    browser.click(".row[data-p='11'] a[data-at]");
    assert!(
        browser
            .value("location.hash")
            .as_str()
            .unwrap()
            .starts_with("#0:op")
    );
    // Holes have colours of their own.
    let coloured = "[...document.querySelectorAll('.row .b')].filter(b => \
                    getComputedStyle(b).backgroundImage.includes('gradient')).length > 10";
    assert_eq!(browser.value(coloured), json!(true));
    // Light and dark differ.
    let ground = "getComputedStyle(document.body).backgroundColor";
    let before = browser.value(ground);
    browser.click("#theme");
    assert_ne!(browser.value(ground), before);
    browser.close();
}

#[test]
#[ignore = "needs a browser: ci/page.sh"]
fn what_the_optimizer_did_stands_beside_its_ops() {
    let folder = Folder::new("passes");
    let (path, page) = (folder.0.join("f.uop"), folder.0.join("passes.html"));
    let source = "
func @f(a: i64) -> i64 {
entry:
    one = i64.const 1
    unused = i64.add a, one
    first = i64.mul a, a
    second = i64.mul a, a
    sum = i64.add first, second
    return sum
}
";
    std::fs::write(&path, source).unwrap();
    explain(&path, &page);
    let mut browser = Browser::open(&page, "");
    assert!(browser.text(".steps").starts_with("optimizer: "));
    assert_eq!(browser.count(".row .bf.gone"), 3);
    let gone = "[...document.querySelectorAll('.row .bf.gone')].map(cell => cell.title).join(';')";
    let gone = browser.value(gone).as_str().unwrap().to_string();
    assert!(
        gone.contains("unused = i64.add a, one\ndropped by dead"),
        "{gone}"
    );
    assert!(
        gone.contains("second = i64.mul a, a\ndropped by cse"),
        "{gone}"
    );
    assert!(
        browser
            .text(".row .bf.was")
            .starts_with("sum = i64.add first, second")
    );
    browser.click("#optimizer");
    assert_eq!(browser.count(".row .bf.gone"), 0);
    assert_eq!(browser.count(".row.first"), 4);
    browser.close();
}

#[test]
#[ignore = "needs a browser: ci/page.sh"]
fn a_large_function_stays_quick() {
    let folder = Folder::new("large");
    let page = folder.0.join("large.html");
    explain(&program("large_sha256.uop"), &page);
    let mut browser = Browser::open(&page, "");
    let most = "[...document.querySelectorAll('#function option')].map(o => +(/\\((\\d+)\\)/.exec(o.textContent) || [0, 0])[1])";
    let sizes = browser.value(most);
    let (index, size) = (0..)
        .zip(sizes.as_array().unwrap())
        .max_by_key(|(_, size)| size.as_u64())
        .unwrap();
    assert!(size.as_u64() >= Some(5000), "{size}");
    let go = format!(
        "new Promise(done => {{ const start = performance.now(); const list = document.querySelector('#function'); \
         list.value = {index}; list.dispatchEvent(new Event('change')); \
         const view = document.querySelector('#view'); view.scrollTop = view.scrollHeight / 2; \
         requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start))); }})"
    );
    let milliseconds = browser.value(&go).as_f64().unwrap();
    println!("{size} ops: shown and scrolled in {milliseconds:.0} ms");
    assert!(milliseconds < 5000.0);
    // Only what is seen is in the document.
    assert!(browser.count(".row") < 200);
    assert!(browser.count("#lanes rect.r") > 3);
    browser.close();
}

#[test]
#[ignore = "needs a browser: ci/page.sh"]
fn hostile_names_are_text() {
    let folder = Folder::new("names");
    let page = folder.0.join("names.html");
    explain(&hostile(&folder), &page);
    let mut browser = Browser::open(&page, "");
    assert!(
        browser
            .text("#file")
            .ends_with("<img src=x onerror=alert(1)>\"'&amp;@@DATA@@.uop")
    );
    assert!(
        browser
            .value("document.title")
            .as_str()
            .unwrap()
            .contains("<img src=x")
    );
    assert_eq!(browser.count("img"), 0);
    assert_eq!(browser.count("script"), 2);
    browser.close();
}
