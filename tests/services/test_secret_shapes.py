"""Secrets in the shapes that services give them are kept out of a recording; ordinary data is left alone."""

import base64
import hashlib
import json
import random
import string
import uuid

import pytest

from practicum.services import Redactor

R = random.Random(15)


def word(length, letters=string.ascii_letters + string.digits):
    """Random, and mixed as tokens are."""
    return "".join(R.choice(letters) for _ in range(length - 4)) + "a7Q2"


def hexadecimal(length):
    return word(length, "0123456789abcdef")[: length - 4] + "a7f2"


def lower(length):
    return word(length, string.ascii_lowercase + string.digits)[: length - 4] + "a7q2"


FORMATS = {
    "github, fine-grained": f"github_pat_{word(22)}_{word(59)}",
    "github, of an app": f"ghs_{word(36)}",
    "github, refreshed": f"ghr_{word(70)}",
    "gitlab": f"glpat-{word(20)}",
    "gitlab, routable": f"glpat-{word(27)}.01.{word(9)}",
    "gitlab, deploying": f"gldt-{word(20)}",
    "gitlab, a runner's": f"glrt-{word(20)}",
    "hugging face": f"hf_{word(34)}",
    "npm": f"npm_{word(36)}",
    "pypi": f"pypi-AgEIcHlwaS5vcmc{word(80)}",
    "aws, for good": "AKIA" + word(16, string.ascii_uppercase + string.digits)[:12] + "QRS7",
    "aws, for a while": "ASIA" + word(16, string.ascii_uppercase + string.digits)[:12] + "QRS7",
    "slack, a bot's": f"xoxb-{R.randint(10**11, 10**12)}-{word(24)}",
    "slack, exchanged": f"xoxe.xoxp-1-{word(80)}",
    "slack, an app's": f"xapp-1-A0{word(9)}-{R.randint(10**12, 10**13)}-{hexadecimal(64)}",
    "slack, a webhook": f"https://hooks.slack.com/services/T{word(9)}/B{word(9)}/{word(24)}",
    "discord, a webhook": f"https://discord.com/api/webhooks/{R.randint(10**17, 10**18)}/{word(68)}",
    "openai": f"sk-proj-{word(48)}",
    "anthropic": f"sk-ant-api03-{word(93)}-AA",
    "stripe": f"sk_live_{word(24)}",
    "stripe, restricted": f"rk_test_{word(24)}",
    "stripe, signing": f"whsec_{word(32)}",
    "google, an api's": f"AIza{word(35)}",
    "google, signed in": f"ya29.a0{word(60)}",
    "google, a client's": f"GOCSPX-{word(28)}",
    "sendgrid": f"SG.{word(22)}.{word(43)}",
    "twilio": f"SK{lower(32)}",
    "mailgun": f"key-{hexadecimal(32)}",
    "mailchimp": f"{hexadecimal(32)}-us12",
    "telegram": f"{R.randint(10**9, 10**10 - 1)}:AA{word(33)}",
    "discord, a bot's": f"M{word(23)}.{word(6)}.{word(27)}",
    "square": f"sq0csp-{word(43)}",
    "shopify": f"shpat_{hexadecimal(32)}",
    "databricks": f"dapi{hexadecimal(32)}",
    "digital ocean": f"dop_v1_{hexadecimal(64)}",
    "docker": f"dckr_pat_{word(27)}",
    "atlassian": f"ATATT3xFfGF0{word(60)}",
    "vault": f"hvs.{word(90)}",
    "grafana": f"glsa_{word(32)}_{hexadecimal(8)}",
    "groq": f"gsk_{word(52)}",
    "nvidia": f"nvapi-{word(64)}",
    "linear": f"lin_api_{word(40)}",
    "figma": f"figd_{word(40)}",
    "heroku": f"HRKU-AA{word(58)}",
    "azure, a client's": f"{word(7)[:3]}8Q~{word(34)}",
    "terraform": f"{word(14)}.atlasv1.{word(64)}",
    "pulumi": f"pul-{hexadecimal(40)}",
    "planetscale": f"pscale_tkn_{word(43)}",
    "airtable": f"pat{word(14)}.{hexadecimal(64)}",
    "fly.io": f"fm2_{word(100)}",
    "1password, a service's": f"ops_eyJ{word(200)}",
    "dropbox": f"sl.{word(135)}",
    "facebook": f"EAAC{word(70)}",
    "a json web token": f"eyJ{word(30)}.eyJ{word(40)}.{word(43)}",
    "a json web token, cut off": f"eyJ{word(30)}.eyJ{word(40)}",
    "an encrypted one": f"eyJ{word(30)}.{word(40)}.{word(16)}.{word(60)}.{word(22)}",
}


@pytest.mark.parametrize("secret", FORMATS.values(), ids=FORMATS)
def test_a_published_format_is_found_alone_in_a_sentence_in_json_and_in_base64(secret):
    forms = [
        secret,
        f"we use {secret}, as agreed.",
        json.dumps({"note": secret}),
        base64.b64encode(f"user:{secret}".encode()).decode(),
    ]
    for form in forms:
        out = json.dumps(Redactor().redacted({"x": form, "list": [form]}))
        assert secret not in out
        assert form not in out


def test_a_secret_that_is_a_members_name_is_replaced_too():
    secret = FORMATS["gitlab"]
    assert secret not in json.dumps(Redactor().redacted({secret: 1, "deep": {secret: {"a": 2}}}))


KEY = word(43)
TEXTS = {
    "a basic header": (f"Authorization: Basic {base64.b64encode(b'ann:pass-4711').decode()}", "YW5uOnBhc3"),
    "basic alone": ("use basic YW5uOnBhc3MtNDcxMQ==", "YW5uOnBhc3"),
    "a header with its own word": ("authorization: ApiKey abcdefghijkl", "abcdefghijkl"),
    "a cookie": ("Cookie: theme=dark; sid=wxyz", "wxyz"),
    "a cookie that is set": ("Set-Cookie: s=abcdefgh; HttpOnly", "abcdefgh"),
    "a query": ("https://h/x?api_key=lettersonly&page=2", "lettersonly"),
    "a signature": ("https://h/x?sv=2020&sig=ab%2Fcd12ef34gh56&se=1", "cd12ef34"),
    "a connection string": ("Server=db;User Id=sa;Password=hunter-two;", "hunter-two"),
    "an account's key": (f"AccountName=a;AccountKey={KEY}==;EndpointSuffix=x", KEY),
    "a shared key": (f"Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey={KEY}=", KEY),
    "a setting": ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalr"),
    "yaml": ("db:\n  password: correcthorsebattery\n", "correcthorse"),
    "json in text": ('{"client_secret":"abcdefghijklmnop"}', "abcdefghij"),
    "json in json": (json.dumps(json.dumps({"password": "s3cr3t-words"})), "s3cr3t"),
    "ruby": (':token => "abc123def456"', "abc123"),
    "an address": ("amqp://guest:gue5t@mq:5672/", "gue5t"),
    "an option": ("deploy --db-password hunter-two --dry-run", "hunter-two"),
    "curl's user": ("curl -u ann:pass-4711 https://h/", "pass-4711"),
    "netrc": ("machine h login ann password hunter-two", "hunter-two"),
    "xml": ("<db><user>ann</user><password>hunter-two</password></db>", "hunter-two"),
    "an attribute": ("<add key='Db:Password' value='hunter-two'/>", "hunter-two"),
    "percent signs": ("next=%2Flogin%3Fpassword%3Dhunter-two%26a%3D1", "hunter-two"),
    "npm's settings": ("//registry.example/:_authToken=abcdefghijkl", "abcdefghijkl"),
}


@pytest.mark.parametrize(("text", "secret"), TEXTS.values(), ids=TEXTS)
def test_a_secret_is_found_by_the_words_before_it(text, secret):
    out = Redactor().redacted(text)
    assert out != text
    assert secret not in out


PEM = "-----BEGIN {0}PRIVATE KEY-----\n" + "\n".join(word(64) for _ in range(5)) + "\n-----END {0}PRIVATE KEY-----\n"


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
@pytest.mark.parametrize(
    "cut",
    [lambda t: t, lambda t: t[:120], lambda t: t[60:], lambda t: t.replace("\n", "\\n")],
    ids=["whole", "end cut off", "start cut off", "escaped lines"],
)
def test_a_private_key_is_found_whole_cut_off_and_with_escaped_lines(kind, cut):
    text = cut(PEM.format(kind))
    out = Redactor().redacted({"file": text})["file"]
    assert not any(line in out for line in PEM.splitlines()[1:-1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("auth", "abcdef1234567890"), ("session", "9f86d081884c"), ("csrf", "abcdef123456"), ("pat", "abcdef123456")),
        *(
            ("otp", "492013"),
            ("otp", 492013),
            ("signing_key", "short"),
            ("encryptionKey", "x1"),
            ("AccountKey", "abc="),
        ),
        *(("card_number", "4111 1111 1111 1111"), ("cvv", 123), ("ssn", "078-05-1120"), ("passphrase", "open sesame")),
        *(("key", "abcdef1234567890abcdef"), ("XSRF-TOKEN", "abcd"), ("recovery_codes", ["12ab-34cd", "56ef-78gh"])),
        *(
            ("signature", hexadecimal(64)),
            ("code_verifier", word(43)),
            ("licenseKey", word(25)),
            ("JSESSIONID", "A1B2"),
        ),
    ],
)
def test_members_whose_names_speak_of_secrets_hold_one(name, value):
    assert Redactor().redacted({name: value}) != {name: value}


ORDINARY = {
    "id": "T-1042",
    "uuid": str(uuid.UUID(int=R.getrandbits(128))),
    "key": "PROJ-123",
    "keys": ["name", "size"],
    "sha256": hashlib.sha256(b"x").hexdigest(),
    "commit": hashlib.sha1(b"x").hexdigest(),
    "etag": f'"{hashlib.md5(b"x").hexdigest()}"',
    "invoice": "AP1200004567",
    "order": "ORD2026-000123A",
    "isbn": "978-3-16-148410-0",
    "object": "507f1f77bcf86cd799439011",
    "ulid": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "vin": "1HGCM82633A004352",
    "iban": "DE89370400440532013000",
    "phone": "+49 30 901820",
    "date": "2026-11-30T18:00:00.123456Z",
    "version": "v1.2.3-beta.4+build.567",
    "mail": "ann@desk.example",
    "url": "https://desk.example/tickets/T1042?page=2&sort=-created",
    "session": "spring-2024",
    "auth": "oauth2",
    "author": "Ann B. 1987",
    "access": "read-only",
    "signature": "Ann Smith",
    "pat": "Pat Smith",
    "card_number": "•••• 1111",
    "image": base64.b64encode(b"\x89PNG\r\n\x1a\n" + R.randbytes(6000)).decode(),
    "text": "Basic information: the bearer of this note forgot the password; please reset it. Cookie: chocolate.",
    "advice": "password: required, token: optional; the session lasts 30 minutes, and the key is under the mat",
    "sql": "SELECT key, value FROM settings WHERE session = 'open' AND token_count = 12",
    "tokens_used": 1234,
    "maximum": 10**15,
    "path": "/usr/lib/python3.11/site-packages/key_value2/session.py",
    "vector": [0.12345678, -1e-9],
    "hash_in_text": f"built from {hashlib.sha1(b'y').hexdigest()} and {uuid.UUID(int=7)}",
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_data_is_left_alone(name):
    redactor = Redactor()
    redactor.learn({name: ORDINARY[name]})
    assert redactor.redacted({name: ORDINARY[name]}) == {name: ORDINARY[name]}


def test_a_name_within_a_secret_does_not_make_it_public():
    out = Redactor().redacted({"token": {"key": "abc", "session": ["x"]}, "password": {"card_number": "none"}})
    assert out == {"token": {"key": "<token-1>", "session": ["<token-2>"]}, "password": {"card_number": "<password-1>"}}


@pytest.mark.parametrize(
    "pair",
    [
        {"name": "DATABASE_PASSWORD", "value": "hunter-two"},
        {"key": "X-Api-Key", "value": "letters-only"},
        {"Name": "client_secret", "Values": ["letters-only"]},
        {"header": "Authorization", "content": {"text": "letters-only"}},
    ],
)
def test_a_value_has_the_name_that_stands_beside_it(pair):
    out = json.dumps(Redactor().redacted({"list": [pair]}))
    assert "hunter-two" not in out
    assert "letters-only" not in out


def test_a_name_beside_an_ordinary_value_hides_nothing():
    ordinary = [{"name": "colour", "value": "red"}, {"name": "password", "required": True}, {"key": "A", "data": "b"}]
    assert Redactor().redacted(ordinary) == ordinary


@pytest.mark.parametrize("name", ["ｐａｓｓｗｏｒｄ", "pass\u200bword", "PASS WORD"])
def test_a_name_is_read_as_it_looks(name):
    assert Redactor().redacted({name: "hunter-two"}) != {name: "hunter-two"}
