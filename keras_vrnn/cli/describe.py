"""`keras-vrnn describe`: shows the model card of a .tflite file as JSON, or writes it."""

from keras_vrnn.cli.status import DONE


def add_parser(commands):
    """Adds the command to the subparsers of `keras-vrnn`."""
    parser = commands.add_parser(
        "describe", help="show the model card of a .tflite file as JSON, or write it"
    )
    parser.set_defaults(run=_run)
    parser.add_argument("tflite", help="the .tflite file")
    parser.add_argument(
        "--card", metavar="FILE", help="put this card into the file: JSON, with the keys of kv.tflite.Card"
    )


def _run(options):
    from keras_vrnn.tflite.card import Card
    from keras_vrnn.tflite.describing import card_of, describe
    from keras_vrnn.tflite.reading import read

    if options.card is None:
        card = card_of(*read(options.tflite, "tflite")) or Card()
    else:
        card = describe(options.tflite, Card.from_json(options.card))
    print(card.to_json())
    return DONE
