"""What counts as a secret unless somebody says otherwise: names of members, published formats, words before a value.

The formats are those of `detect-secrets` (Apache-2.0), of which only the patterns are used: it can ask services
whether a key is valid, and that is never done. What came after its last release, or what it finds only in a line of
code, is added here. A rule for names that ordinary data has too (``key``, ``session``) asks for the look of a secret.
"""

from collections.abc import Iterator

from detect_secrets.plugins import (
    aws,
    azure_storage_key,
    discord,
    github_token,
    gitlab_token,
    mailchimp,
    openai,
    pypi_token,
    sendgrid,
    slack,
    square_oauth,
    stripe,
    telegram_token,
    twilio,
)

from practicum.services.rule import Rule

_PUBLISHED = (
    aws.AWSKeyDetector,
    azure_storage_key.AzureStorageKeyDetector,
    discord.DiscordBotTokenDetector,
    github_token.GitHubTokenDetector,
    gitlab_token.GitLabTokenDetector,
    mailchimp.MailchimpDetector,
    openai.OpenAIDetector,
    pypi_token.PypiTokenDetector,
    sendgrid.SendGridDetector,
    slack.SlackDetector,
    square_oauth.SquareOAuthDetector,
    stripe.StripeDetector,
    telegram_token.TelegramBotTokenDetector,
    twilio.TwilioKeyDetector,
)
"""Its detectors of formats. Left out: what finds addresses, words or entropy alone; what ours find in more forms
(passwords in addresses, JSON web tokens, private keys, settings); Artifactory's, which takes AP1200004567 for one."""

MIXED = r"(?=.*(?<![A-Za-z0-9])(?=[A-Za-z]+\d|\d+[A-Za-z])[A-Za-z0-9]{8,})\S+"
"""Letters and digits mixed in one word of eight or more: not PROJ-123, spring-2024 or oauth2."""
_LONG_MIXED = r"(?=\S{16,})(?!" + r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z)" + MIXED
"""The same, longer, and no UUID: for a name as common as ``key``."""

_NAMES = (
    Rule("token", key=".*token|.*sessionid|.*sessionkey|sid|sessid|phpsessid|jwt|bearer"),
    Rule("password", key=".*password|.*passwd|pwd|pw|.*passphrase|.*passcode|pin"),
    Rule(
        "secret",
        key=".*secret|.*apikey|.*(private|access|signing|encryption|account|master|hmac|shared|secret|ssh|deploy)key"
        "|.*accesskeyid|credentials?|(seed|recovery)phrase|mnemonic",
    ),
    Rule("authorization", key=".*authorization|(set)?cookies?|xauth.*"),
    Rule("token", key=".*auth|session|.*[cx]srf.*|pat|codeverifier|refresh|access", shape=MIXED),
    Rule("secret", key="sig|.*signature|hmac|.*authkey|.*licen[cs]ekey", shape=MIXED),
    Rule("secret", key="key", shape=_LONG_MIXED),
    Rule("password", key="pass", shape=r"(?=\S{8,64}\Z)" + MIXED),
    Rule(
        "otp",
        key="t?otp(code)?|mfacode|onetime(code|passcode)|verificationcode|(backup|recovery)codes?",
        shape=r"(?=.*\d)\S{4,}",
    ),
    Rule("card", key=".*cardnumber|ccnumber|ccnum", shape=r"\d(?:[ -]?\d){11,18}"),
    Rule("card", key="cvv2?|cvc2?|cardsecuritycode", shape=r"\d{3,4}"),
    Rule("ssn", key="ssn|socialsecuritynumber|socialsecurity", shape=r"\d{3}-?\d{2}-?\d{4}"),
)

_LATER_FORMATS = (
    r"\b(?:sk|pk|rk)[-_](?=\S{0,256}\d)[\w-]{16,}",
    r"\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}",
    r"\bgl[a-z]{2,6}-(?=[\w-]{0,64}\d)[\w-]{16,}",
    r"\bxox[a-z](?:\.xox[a-z])?-[\w-]{10,}|\bxapp-\d-[\w-]{10,}",
    r"\b(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{35}|\bya29\.[\w-]{20,}|\bGOCSPX-[\w-]{20,}",
    r"\bnpm_[A-Za-z0-9]{30,}|\bpypi-AgE[\w-]{20,}|\bhf_[A-Za-z0-9]{30,}|\bapi_org_[A-Za-z0-9]{30,}",
    r"\brubygems_[0-9a-f]{40,}|\bdckr_pat_[\w-]{20,}|\bcrates?_?io_?[A-Za-z0-9]{32}\b|\bcio[A-Za-z0-9]{32}\b",
    r"\bdo[por]_v1_[0-9a-f]{64}|\bdapi[0-9a-f]{32}|\bATATT[\w=-]{20,}|\blin_api_\w{20,}|\bntn_\w{40,}",
    r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|\bsq0[a-z]{3}-[\w-]{22,}|\bwhsec_[\w/+=]{20,}|\bEAAA[\w-]{56,64}\b",
    r"\bhv[sbr]\.[\w-]{20,}|\bAGE-SECRET-KEY-1[0-9A-Z]{50,}|\bop_[\w-]{40,}",
    r"\bgsk_\w{30,}|\bxai-\w{40,}|\bnvapi-[\w-]{40,}|\br8_\w{30,}|\bpplx-\w{40,}|\bsbp_[0-9a-f]{40}",
    r"\bglsa_\w{32}_\w{8}|\bglc_[\w+/=]{32,}|\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}|\bdp\.[a-z]{2}\.\w{40,}",
    r"\bfigd_[\w-]{30,}|\bsntry[su]_[\w+/=]{40,}|\btskey-\w+-[\w-]{20,}|\bNRAK-[A-Z0-9]{27}",
    r"\bSG\.[\w-]{16,}\.[\w-]{16,}|\bkey-[0-9a-f]{32}\b|\b\d{8,10}:AA[\w-]{30,35}\b|\bAKCp[0-9A-Za-z]{40,}",
    r"\bHRKU-[\w-]{30,}|(?<![\w~.-])[\w~.-]{3}\dQ~[\w~.-]{31,34}|\b[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{60,}",
    r"\bpul-[0-9a-f]{40}\b|\bpscale_[a-z]+_[\w.-]{32,}|\bpat[A-Za-z0-9]{14}\.[0-9a-f]{64}\b|\bEAA[A-Z][0-9A-Za-z]{60,}",
    r"\bfm[12][ar]?_[\w+/=]{80,}|\bops_eyJ[\w+/=-]{80,}|\bsl\.(?:u\.)?[\w-]{130,}",
    r"\b[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{25,38}\b",
    r"https://hooks\.slack\.com/services/[\w/]{20,}|https://(?:ptb\.)?discord(?:app)?\.com/api/webhooks/\d+/[\w-]{20,}",
    # Whole, cut off at either end, and with line ends that were escaped.
    r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    r"\A[A-Za-z0-9+/=\s\\]{16,}-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----",
    r"(?s)PuTTY-User-Key-File-\d:.*\Z",
)

_WORD = (
    r"token|passw(?:or)?d|passphrase|pwd|secret|credential|session[_-]?id|connect\.sid|authorization|api[_-]?key|"
    r"(?:access|account|private|signing|encryption|shared|secret|subscription)[_-]?key(?:[_-]?id)?"
)
_WEAK_WORD = r"sig|[\w-]*signature|session|sess|sid|auth|otp|pat|code_verifier|csrf|xsrf|key"
_NOTHING = r"(?!(?:null|none|true|false|undefined|required|optional|missing|invalid|expired|redacted)\b)"
_BETWEEN = r"""\\?["']?\s*(?:=>|:=|[:=])\s*\\?["']?"""
_VALUE = r"""[^\s"'&,;}<>\\]"""

_IN_TEXT = (
    Rule("jwt", value=r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+(?:\.[\w-]*){0,2}|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}"),
    Rule("token", value=r"(?i)\bbearer\s+((?=\S{0,256}\d)[\w.~+/=-]{8,})"),
    Rule("authorization", value=r"(?i)\bbasic\s+((?=\S{0,256}(?:\d|=|(?-i:[a-z][A-Z])))[A-Za-z0-9+/]{8,}={0,2})(?!\w)"),
    Rule(
        "authorization",
        value=r"""(?i)\bauthorization\\?["']?\s*[:=]\s*\\?["']?(?:(?:basic|bearer|token|negotiate|apikey|key)\s+)"""
        rf"({_VALUE}{{6,}})",
    ),
    Rule(
        "authorization",
        value=r"""(?i)\b(?:set-)?cookie\\?["']?\s*[:=]\s*\\?["']?([\w.-]+=[^\r\n"'\\]+)""",
        spreads=False,
    ),
    *(Rule("secret", value=pattern) for pattern in _LATER_FORMATS),
    Rule("password", value=r"://[^/\s:@]*:([^/\s@]+)@"),
)
_SETTINGS = (
    # Options of a command, .netrc, elements and attributes of XML.
    Rule("secret", value=rf"(?i)(?<!\S)--?(?:\w+-)*(?:{_WORD})\s+(?!-)({_VALUE}{{6,}})", spreads=False),
    Rule("password", value=r"(?<!\S)(?:-u|--user)[= ]\s*[^\s:]+:([^\s'\"]{4,})", spreads=False),
    Rule("password", value=r"(?i)\blogin\s+\S+\s+password\s+(\S{4,})", spreads=False),
    Rule("secret", value=rf"(?i)<[\w:.-]*(?:{_WORD})[\w.-]*(?:\s[^<>]*)?>([^<>]{{4,}})</", spreads=False),
    Rule(
        "secret",
        value=rf"""(?i)\b(?:key|name)=["'][\w:. -]*(?:{_WORD})[\w. -]*["']\s+value=["']([^"']{{4,}})""",
        spreads=False,
    ),
    # Settings, query strings and JSON within text: what follows may be a word, so it is replaced only here.
    Rule("secret", value=rf"(?i)(?:{_WORD}){_BETWEEN}((?={_VALUE}{{0,256}}\d){_VALUE}{{6,}})", spreads=False),
    Rule("secret", value=rf"(?i)(?:{_WORD})\\?[\"']?\s?=\s?\\?[\"']?{_NOTHING}({_VALUE}{{6,}})", spreads=False),
    Rule("secret", value=rf"(?i)(?:{_WORD})\\?[\"']?\s?:\s?\\?[\"']?{_NOTHING}({_VALUE}{{14,}})", spreads=False),
    Rule(
        "secret",
        value=rf"(?i)(?<![A-Za-z0-9])(?:{_WEAK_WORD}){_BETWEEN}((?={_VALUE}{{0,256}}(?:[a-z]\d|\d[a-z])){_VALUE}{{10,}})",
        spreads=False,
    ),
)


def _published() -> Iterator[Rule]:
    """Patterns of the library as rules; what a group of theirs catches is not always the secret, so all is."""
    for detector in _PUBLISHED:
        for pattern in detector.denylist:
            flags = "i" if pattern.flags & 2 else ""
            yield Rule("secret", value=f"((?{flags}:{pattern.pattern}))")


DEFAULT_RULES = (*_NAMES, *_IN_TEXT, *_published(), *_SETTINGS)
"""Tokens, passwords, keys, authorization and cookies; codes that are used once, and numbers of cards."""
