"""Secrets are masked wherever they stand; hashes, code and names that only sound like secrets stay."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgym.reproduction.secrets import (
    is_secret_name,
    mask_command,
    mask_text,
    mask_variables,
    secret_values,
)

GITHUB = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
PEM = "-----BEGIN RSA PRIVATE KEY-----\n+MIIEowIBAAKCAQEAx\n+c3VwZXJzZWNyZXQ=\n+-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"+    client = Client('{GITHUB}')", GITHUB),
        ("github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz", "11ABCDEFG0"),
        ("+aws_id = 'AKIAIOSFODNN7EXAMPLE'", "AKIAIOSFODNN7EXAMPLE"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
        ("openai.api_key = 'sk-proj-abcdefghijklmnopqrstuvwx0123456789'", "abcdefghijklmnopqrst"),
        ("x = sk-ant-api03-abcdefghijklmnopqrstuvwx", "api03"),
        ("login(token='hf_abcdefghijklmnopqrstuvwxyzABCDEF')", "hf_abcdef"),
        ("WANDB_API_KEY=0123456789abcdef0123456789abcdef01234567", "0123456789abcdef"),
        ("+export CUSTOM_TOKEN=ab\"cd'efgh(12345678)", "12345678"),
        (f"cookie: {JWT}", "dozjgNryP4J3jVmNHl0w5N"),
        (f"+{PEM}\n+x = 1", "c3VwZXJzZWNyZXQ"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk cut off here", "b3BlbnNzaC1rZXk"),
        ("-    password = 'hunter2'", "hunter2"),
        ('+    password = "it\'s me"', "it's me"),
        ("password: correcthorse", "correcthorse"),
        ('{"password": "hunter2", "user": "me"}', "hunter2"),
        ('api_key: str = "a-b-c"', "a-b-c"),
        ("dbPassword=hunter2", "hunter2"),
        ("+export PGPASSWORD=hunter2", "hunter2"),
        ("dbpassword = 'hunter2'", "hunter2"),
        ("DB_PASS=hunter2", "hunter2"),
        ("curl -H 'Authorization: token abc123def456'", "abc123def456"),
        ("clientSecret: 'abc'", "abc"),
        ("token: 0123456789abcdef0123456789abcdef01234567", "0123456789abcdef"),
        ('headers = {"Authorization": "Bearer abcdef.123456-xyz"}', "abcdef.123456"),
        ("curl -H 'authorization: basic dXNlcjpwYXNzd29yZA=='", "dXNlcjpwYXNzd29yZA"),
        ("https://me:hunter2@github.com/me/project.git", "hunter2"),
        ("https://hunter2hunter2@github.com/me/project.git", "hunter2"),
        ("postgres://me:p%40ss@db.example/x", "p%40ss"),
        ("https://host/data?user=a&access_token=hunter2", "hunter2"),
        ("machine api.example login me password hunter2", "hunter2"),
        ("xoxb-123456789012-abcdefghijkl", "123456789012"),
        ("AIzaSyA1234567890abcdefghijklmnopqrstuvw", "A1234567890"),
    ],
)  # fmt: skip
def test_secrets_are_masked(text: str, secret: str) -> None:
    """Nothing of the secret is left, the mask is there, and masking again changes nothing."""
    assert secret in text
    masked = mask_text(text)
    assert secret not in masked
    assert "***" in masked
    assert mask_text(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "key = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'",
        "index 3ab1c9d..9f86d08 100644",
        "+    tokenizer = AutoTokenizer.from_pretrained('bert-base-uncased')",
        "+    key=val",
        "+    forward_pass = net1layer2forward3abc",
        "+    key = 'val/f1_macro'",
        "sort(key=lambda item: item[0])",
        "num_tokens = 1024",
        "max_tokens: 4096",
        "pad_token = '<pad>'",
        "EOS_TOKEN=</s>",
        "PAD_TOKEN=[PAD]",
        "+    password = settings.password",
        "+    password = getpass()",
        "+    token = os.environ['HF_TOKEN']",
        "api_key: str",
        "def login(user: str, password: str) -> None:",
        "password = None",
        "key_padding_mask = torch.zeros(2, 3)",
        "monkey = 'abcdefgh12345678ijkl'",
        "+    if key in batch: tokens = batch[key]",
        "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl\n-----END CERTIFICATE-----",
        "git@github.com:me/project.git",
        "ssh://git@github.com/me/project.git",
        "https://github.com/me/project.git",
        "mail me@example.org",
        "hf_model = 'x'; sk-learn",
        "@@ -1,4 +1,5 @@ class Attention(nn.Module):",
        "author = 'Jane Doe'",
        "signature = inspect.signature(function)",
    ],
)
def test_innocent_text_stays(text: str) -> None:
    """Hashes, tokenizers, keys of mappings, types and code that fetches a secret are left as they are."""
    assert mask_text(text) == text


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("WANDB_API_KEY", True), ("HF_TOKEN", True), ("MLGYM_TOKEN", True), ("AWS_SECRET_ACCESS_KEY", True),
        ("--password", True), ("clientSecret", True), ("db.passwd", True), ("CUDA_API_KEY", True),
        ("tokenizer", False), ("num_tokens", False), ("KEYBOARD", False), ("OMP_NUM_THREADS", False),
        ("monkey", False), ("author", False), ("key_padding_mask", False), ("passes", False),
    ],
)  # fmt: skip
def test_names(name: str, is_secret: bool) -> None:
    """Names are told by their words, however these are joined."""
    assert is_secret_name(name) == is_secret


def test_command_lines() -> None:
    """Values after an option, behind `=`, in overrides and addresses are masked; the rest stays word by word."""
    command = [
        "mlgym", "run", "a.yml", "--token", "hunter2", "--api-key=hunter2", "data.password=my long one",
        "optimizer.lr=0.1", "model.tokenizer=bert", "--rest-endpoint", "https://me:hunter2@host/", "--processes", "2",
    ]  # fmt: skip
    assert mask_command(command) == [
        "mlgym", "run", "a.yml", "--token", "***", "--api-key=***", "data.password=***",
        "optimizer.lr=0.1", "model.tokenizer=bert", "--rest-endpoint", "https://***@host/", "--processes", "2",
    ]  # fmt: skip


def test_values_of_secret_variables_are_found_anywhere() -> None:
    """What a secret variable holds is masked without any name beside it; short words, paths and names are not."""
    variables = {
        "HF_TOKEN": "qwertz-1234",
        "DB_PASSWORD": "short",
        "SSH_PRIVATE_KEY": "/home/me/.ssh/id",
        "A": "public-one",
    }
    assert secret_values(variables) == ["qwertz-1234"]
    assert mask_text("x qwertz-1234 y public-one", secret_values(variables)) == "x *** y public-one"


def test_variables() -> None:
    """Secret variables are left out, others keep their values but for secrets in them."""
    variables = {
        "OMP_NUM_THREADS": "2",
        "MLGYM_TOKEN": "x",
        "TORCH_URL": "https://a:b@c/",
        "X": f"see {GITHUB} and qwertz-1234",
    }
    assert mask_variables(variables, ["qwertz-1234"]) == {
        "OMP_NUM_THREADS": "2",
        "TORCH_URL": "https://***@c/",
        "X": "see *** and ***",
    }


@given(st.text(alphabet=string.printable, max_size=300))
def test_any_text(text: str) -> None:
    """Masking never fails, and what is masked once stays as it is."""
    masked = mask_text(text)
    assert mask_text(masked) == masked


def test_long_texts_do_not_take_long() -> None:
    """Adversarial texts of the size of a diff come through: no pattern looks at a text again and again."""
    for unit in ("a", "token=", "password: ", "https://", "-----BEGIN PRIVATE KEY-----", "eyJ", "x:y=", '"', " ", "a."):
        mask_text(unit * (100_000 // len(unit)))
