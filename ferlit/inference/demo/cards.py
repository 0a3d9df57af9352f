"""What the demo's page says of a picture, as HTML: a card for each face, or a message."""

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jinja2 import Environment
from numpy.typing import NDArray
from PIL import Image

from ferlit.data.loading.transforms import INPUT_SIZE
from ferlit.inference.demo.neighbours import Neighbour
from ferlit.inference.recogniser import Face

# Gradio's own colours, so that the cards follow its light and its dark page.
STYLE = """
.fe-cards { display: flex; flex-wrap: wrap; gap: 16px; }
.fe-card { flex: 1 1 460px; max-width: 720px; padding: 16px; border-radius: 8px;
  border: 1px solid var(--border-color-primary); background: var(--block-background-fill); }
.fe-card h3 { margin: 0 0 12px; font-size: 18px; }
.fe-card h4 { margin: 16px 0 8px; font-size: 14px; font-weight: 600; }
.fe-card figure { margin: 0; }
.fe-card figcaption { margin-top: 4px; font-size: 12px; color: var(--body-text-color);
  opacity: 0.8; line-height: 1.35; }
.fe-card img { display: block; image-rendering: pixelated; border-radius: 4px; }
.fe-main { display: flex; flex-wrap: wrap; gap: 20px; }
.fe-crop img { width: 192px; height: 192px; }
.fe-bars { flex: 1 1 220px; display: grid; align-content: start; align-items: center;
  grid-template-columns: max-content 1fr max-content; gap: 6px 10px; font-size: 14px; }
.fe-bar { height: 14px; border-radius: 3px; background: var(--border-color-primary); }
.fe-bar span { display: block; height: 100%; border-radius: 3px; background: #2a78c8; }
.fe-value { font-variant-numeric: tabular-nums; }
.fe-value { text-align: right; }
.fe-near { display: flex; flex-wrap: wrap; gap: 12px; }
.fe-near img { width: 72px; height: 72px; }
.fe-near figure { width: 84px; }
.fe-message { padding: 14px 16px; border-left: 4px solid #c88a2a; border-radius: 4px;
  background: var(--block-background-fill); }
.fe-note { font-size: 14px; line-height: 1.5; max-width: 900px; }
.fe-note p { margin: 0 0 6px; }
"""


def _data_url(registered: NDArray[np.uint8]) -> str:
    """The centre crop of a registered face as a data address."""
    border = (registered.shape[0] - INPUT_SIZE) // 2
    crop = registered[border : border + INPUT_SIZE, border : border + INPUT_SIZE]
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(crop)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


_ENVIRONMENT = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
_ENVIRONMENT.filters["percent"] = lambda value: f"{100 * value:.0f} %"
_ENVIRONMENT.filters["data_url"] = _data_url
_CARDS = _ENVIRONMENT.from_string("""\
<div class="fe-cards">
{% for card in cards %}
<section class="fe-card">
  <h3>{% if cards|length > 1 %}Face {{ loop.index }}: {% endif %}\
{{ card.face.label }}, {{ card.face.probability|percent }}</h3>
  <div class="fe-main">
    <figure class="fe-crop">
      <img src="{{ card.registered|data_url }}" alt="the registered face">
      <figcaption>registered, {{ size }} &times; {{ size }} pixels</figcaption>
    </figure>
    <div class="fe-bars">
    {% for name, value in card.bars %}
      <span>{{ name }}</span>
      <span class="fe-bar"><span style="width: {{ (100 * value)|round(1) }}%"></span></span>
      <span class="fe-value">{{ value|percent }}</span>
    {% endfor %}
    </div>
  </div>
  {% if card.neighbours %}
  <h4>{{ near_title }}</h4>
  <div class="fe-near">
  {% for neighbour in card.neighbours %}
    <figure>
      <img src="{{ neighbour.face|data_url }}" alt="{{ neighbour.label }}">
      <figcaption><strong>{{ neighbour.label }}</strong><br>{{ "%.2f"|format(neighbour.distance) }}\
{% if neighbour.identity %}<br>{{ neighbour.identity }}{% endif %}</figcaption>
    </figure>
  {% endfor %}
  </div>
  {% endif %}
</section>
{% endfor %}
</div>
""")
_MESSAGE = _ENVIRONMENT.from_string('<div class="fe-message" role="alert">{{ text }}</div>')
_NOTE = _ENVIRONMENT.from_string(
    '<div class="fe-note">{% for text in paragraphs %}<p>{{ text }}</p>{% endfor %}</div>'
)


class Card(NamedTuple):
    """A face with what is shown of it."""

    face: Face
    registered: NDArray[np.uint8]  # (60, 60)
    neighbours: Sequence[Neighbour] = ()

    @property
    def bars(self) -> list[tuple[str, float]]:
        """The expressions with their probabilities, the highest first."""
        return sorted(self.face.probabilities.items(), key=lambda pair: -pair[1])


def cards(faces: Sequence[Card], near_title: str = "") -> str:
    """HTML of the faces of a picture.

    Args:
        faces: In the order in which they are shown.
        near_title: What the neighbours are.

    >>> face = Face((0, 0, 9, 9), None, "fear", {"anger": 0.25, "fear": 0.75}, None)
    >>> "<h3>fear, 75 %</h3>" in cards([Card(face, np.zeros((60, 60), np.uint8))])
    True
    """
    return _CARDS.render(cards=faces, near_title=near_title, size=INPUT_SIZE)


def message(text: str) -> str:
    """HTML of a message.

    >>> message("a < b")
    '<div class="fe-message" role="alert">a &lt; b</div>'
    """
    return _MESSAGE.render(text=text)


def note(paragraphs: Sequence[str]) -> str:
    """HTML of paragraphs about the model.

    >>> note(["Two classes."])
    '<div class="fe-note"><p>Two classes.</p></div>'
    """
    return _NOTE.render(paragraphs=paragraphs)
